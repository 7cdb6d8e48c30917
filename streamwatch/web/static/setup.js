import { attempt, call, el, get, send, state, table, tell } from "/static/api.js";
import { showJobs } from "/static/jobs.js";

const form = document.getElementById("add");
let tag = null;

const cameras = attempt(async () => {
  const known = await get("/api/v1/cameras");
  document.getElementById("cameras").replaceChildren(table(["Name", "State", "Source", ""], known.map((camera) => [
    el("a", { href: `/setup/${encodeURIComponent(camera.name)}` }, camera.name), state(camera.enabled ? camera.state || "not watched" : "not learned yet"),
    el("code", {}, camera.source),
    el("span", { class: "actions" },
      el("button", { class: "quiet", onclick: attempt(async () => { await send("POST", `/api/v1/models/${encodeURIComponent(camera.name)}/learn`, { live: "20m" }); tell("It is being learned."); }) }, "Learn anew"),
      el("button", { class: "quiet", onclick: attempt(async () => {
        if (!confirm(`Take ${camera.name} out of the configuration? Its model and its events stay.`)) return;
        await send("DELETE", `/api/v1/cameras/${encodeURIComponent(camera.name)}`);
        await Promise.all([cameras(), file()]);
      }) }, "Remove"))])));
});

function asked() {
  const values = Object.fromEntries(new FormData(form));
  const credentials = values.user ? { user: values.user, password: values.password } : null;
  return { source: values.source, credentials, name: values.name, learn: values.learn };
}

document.getElementById("probe")?.addEventListener("click", attempt(async () => {
  const { source, credentials } = asked();
  const text = document.getElementById("tested-text"), image = document.getElementById("tested");
  text.textContent = "Asking the camera …";
  try {
    const answer = await call("POST", "/api/v1/probe", { source, credentials });
    image.src = URL.createObjectURL(await answer.blob());
    image.alt = "a test picture of the camera";
    image.hidden = false;
    text.textContent = "It gives this picture.";
  } catch (error) {
    image.hidden = true;
    text.textContent = error.message;
  }
}));

form?.addEventListener("submit", attempt(async (submitted) => {
  submitted.preventDefault();
  const added = await send("POST", "/api/v1/cameras", asked());
  tell(`${added.name} is in the configuration; it is watched when it is learned.`);
  form.reset();
  await Promise.all([cameras(), file()]);
}));

const file = attempt(async () => {
  const known = await get("/api/v1/config");
  document.getElementById("text").value = known.text;
  tag = known.tag;
  const refused = document.getElementById("refused");
  refused.hidden = !known.refused;
  refused.textContent = known.refused ? `The daemon did not take the file up: ${known.refused}` : "";
});

const text = () => ({ text: document.getElementById("text").value });
document.getElementById("check")?.addEventListener("click", attempt(async () => {
  const found = await send("POST", "/api/v1/config/validate", text());
  document.getElementById("checked").textContent = found.valid ? "It is valid." : found.problems.join("\n");
}));
document.getElementById("save")?.addEventListener("click", attempt(async () => {
  await send("PUT", "/api/v1/config", text(), { "if-match": `"${tag}"` });
  tell("Saved; the daemon takes it up now.");
  setTimeout(() => { file(); cameras(); }, 2000);
}));

if (form) {
  await Promise.all([cameras(), file()]);
  showJobs(document.getElementById("jobs"), { onend: () => { cameras(); file(); } });
  setInterval(() => { if (!document.hidden) cameras(); }, 5000);
}
