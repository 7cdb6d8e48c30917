import { attempt, el, get, mayOperate, number, page, send, state, table, tell, when } from "/static/api.js";

const filters = document.getElementById("filters");
const more = document.getElementById("more");
let next = null, rows = [];

const endpoints = attempt(async () => {
  const known = await get("/api/v1/endpoints");
  document.getElementById("none").hidden = known.length > 0;
  const acts = (end) => mayOperate && el("span", { class: "actions" },
    end.kind === "mqtt" ? null : el("button", { class: "quiet", onclick: attempt(async () => {
      const answer = await send("POST", `/api/v1/endpoints/${encodeURIComponent(end.name)}/test`);
      tell(`${end.name}: HTTP ${answer.status}`);
    }) }, "Test"),
    end.dead ? el("button", { class: "quiet", onclick: () => replay({ dead: true, endpoint: end.name }) }, `Send ${end.dead} dead again`) : null,
    end.switched_off ? el("button", { class: "quiet", onclick: attempt(async () => {
      await send("POST", `/api/v1/endpoints/${encodeURIComponent(end.name)}/enable`);
      await endpoints();
    }) }, "Switch on") : null);
  if (known.length) {
    document.getElementById("endpoints").replaceChildren(table(["Name", "Kind", "Address", "Waiting", "Oldest", "Dead", ""], known.map((end) => [
      end.name, end.kind, el("td", {}, el("code", {}, end.url), end.switched_off ? el("p", { class: "fault" }, `switched off: ${end.switched_off}`) : null),
      number(end.pending), end.oldest ? when(end.oldest) : "-", number(end.dead), acts(end) || ""])));
  }
  const choice = filters.elements.endpoint;
  const before = choice.value;
  choice.replaceChildren(el("option", { value: "" }, "all"), ...known.map((end) => el("option", {}, end.name)));
  choice.value = before;
});

const replay = attempt(async (what) => {
  const done = await send("POST", "/api/v1/deliveries/replay", what);
  tell(`${done.count} messages wait to be sent again`);
  await load();
});

async function detail(message, cell) {
  const known = await get(`/api/v1/deliveries/${message.number}`);
  cell.replaceChildren(el("div", {},
    table(["At", "Answer", "Took"], known.tries.map((one) => [when(one.at), one.error || `HTTP ${one.status}`, number(`${one.latency_ms} ms`)])),
    el("pre", { class: "code" }, JSON.stringify(known.content, null, 2))));
}

function row(message) {
  const cell = el("td", {}, el("button", { class: "quiet", onclick: attempt(() => detail(message, cell)) }, `${message.attempts} attempts`),
    message.last_error ? el("p", { class: "fault" }, message.last_error) : null);
  const again = mayOperate && message.state !== "pending" ? el("button", { class: "quiet", onclick: () => replay({ numbers: [message.number] }) }, "Send again") : "";
  return [when(message.created), message.endpoint, message.type, message.camera || "-", state(message.state), cell, again];
}

function show() {
  document.getElementById("messages").replaceChildren(rows.length
    ? table(["When", "To", "What", "Camera", "State", "Attempts", ""], rows)
    : el("p", { class: "empty" }, "No messages."));
  more.hidden = !next;
}

const load = attempt(async () => {
  const query = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
  const found = await page(`/api/v1/deliveries?${query}`);
  rows = found.items.map(row);
  next = found.next;
  show();
});

more.addEventListener("click", attempt(async () => {
  const found = await page(next);
  rows.push(...found.items.map(row));
  next = found.next;
  show();
}));
filters.addEventListener("change", load);
await endpoints();
await load();
setInterval(() => { if (!document.hidden) endpoints(); }, 5000);
