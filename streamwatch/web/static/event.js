import { attempt, el, get, localTimes, send, state, table, tell, when } from "/static/api.js";
import { judge } from "/static/cards.js";

const root = document.getElementById("event");
const id = root.dataset.id;
const job = document.getElementById("job");
localTimes();

async function follow(asked) {
  for (let known = asked; ;) {
    job.textContent = `${known.kind}: ${known.state}${known.lines.length ? `; ${known.lines.at(-1)}` : ""}`;
    if (!["waiting", "running"].includes(known.state)) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    known = await get(`/api/v1/jobs/${known.id}`);
  }
}

for (const button of root.querySelectorAll("button[data-label]")) {
  button.addEventListener("click", attempt(async () => {
    const done = await judge([id], button.dataset.label);
    for (const other of root.querySelectorAll("button[data-label]")) other.setAttribute("aria-pressed", other === button);
    if (done.jobs.length) await follow(done.jobs[0]);
  }));
}
document.getElementById("keep")?.addEventListener("click", attempt(async () => {
  await send("PUT", `/api/v1/events/${id}/note`, { note: document.getElementById("note").value || null });
  tell("The note is kept.");
}));

await attempt(async () => {
  const told = await get(`/api/v1/events/${id}/deliveries`);
  document.getElementById("deliveries").replaceChildren(told.length
    ? table(["When", "To", "What", "State"], told.map((message) => [when(message.created), message.endpoint, message.type, state(message.state)]))
    : el("p", { class: "muted" }, "Nobody: no endpoint asks for it."));
})();
