import { attempt, el, get, lasting, pairs, rate, send, svg, tell, when } from "/static/api.js";
import { showJobs } from "/static/jobs.js";
import { outline, outlines, scaled } from "/static/outlines.js";
import { LivePicture } from "/static/pictures.js";

const root = document.getElementById("set-up");
const name = encodeURIComponent(root.dataset.camera);
const drawn = document.getElementById("drawn");
const CLOSE = 0.025;
let camera = await get(`/api/v1/cameras/${name}`);
let shapes = outlines(camera), corners = [], choices = [];
new LivePicture(root, root.dataset.camera, { width: 1280, everyMs: 1000, heat: false });

function paint() {
  drawn.replaceChildren(...shapes.map(outline));
  if (corners.length) {
    drawn.append(svg("polyline", { class: kind(), points: scaled(corners), "fill-opacity": 0 }));
    corners.forEach(([x, y]) => drawn.append(svg("ellipse", { class: kind(), cx: 100 * x, cy: 100 * y, rx: 0.8, ry: 1.2 })));
  }
  document.getElementById("polygons").replaceChildren(...shapes.map((shape, number) => el("li", {},
    el("strong", {}, shape.kind === "zone" ? `zone ${shape.name}` : shape.kind === "ignore" ? "ignored" : "never shown"),
    el("label", {}, "corners ", el("input", { size: 34, value: JSON.stringify(shape.polygon), onchange: attempt(async (change) => {
      shape.polygon = JSON.parse(change.target.value);
      paint();
    }) })),
    el("button", { class: "quiet", onclick: () => { shapes.splice(number, 1); paint(); } }, "Remove"))));
}

const kind = () => document.querySelector("input[name=kind]:checked").value;
const rounded = (value) => Math.round(Math.min(Math.max(value, 0), 1) * 1000) / 1000;

function finish() {
  if (corners.length < 3) return;
  const zone = document.getElementById("zone-name").value.trim();
  if (kind() === "zone" && !zone) {
    tell("A zone needs a name.", true);
    document.getElementById("zone-name").focus();
    return;
  }
  if (kind() === "zone") shapes = shapes.filter((shape) => shape.name !== zone);
  shapes.push({ kind: kind(), name: kind() === "zone" ? zone : "", polygon: corners });
  corners = [];
  paint();
}

drawn.addEventListener("pointerdown", (press) => {
  const box = drawn.getBoundingClientRect();
  const at = [rounded((press.clientX - box.left) / box.width), rounded((press.clientY - box.top) / box.height)];
  const first = corners[0];
  if (first && corners.length > 2 && Math.hypot(at[0] - first[0], at[1] - first[1]) < CLOSE) finish();
  else corners.push(at);
  paint();
});
drawn.addEventListener("keydown", (press) => {
  if (press.key === "Enter") finish();
  else if (press.key === "Escape") corners = [];
  else if (press.key === "Backspace") corners.pop();
  else return;
  press.preventDefault();
  paint();
});

document.getElementById("save").addEventListener("click", attempt(async () => {
  if (corners.length > 2) finish();
  const of = (what) => shapes.filter((shape) => shape.kind === what);
  const gone = Object.keys(camera.zones).filter((zone) => !of("zone").some((shape) => shape.name === zone));
  const zones = Object.fromEntries([...of("zone").map((shape) => [shape.name, { polygon: shape.polygon }]), ...gone.map((zone) => [zone, null])]);
  const change = {};
  if (Object.keys(zones).length) change.zones = zones;
  for (const what of ["ignore", "privacy"]) {
    if (of(what).length || camera[what].length) change[what] = of(what).map((shape) => shape.polygon);
  }
  await send("PATCH", `/api/v1/cameras/${name}`, change);
  document.getElementById("saved").textContent = "Saved; the daemon takes it up now.";
  setTimeout(attempt(async () => { camera = await get(`/api/v1/cameras/${name}`); }), 1500);
}));

const budget = document.getElementById("budget");
function wouldBe() {
  const choice = choices[budget.value];
  if (!choice) return;
  budget.setAttribute("aria-valuetext", rate(choice.budget_per_day));
  document.getElementById("would").textContent =
    `${rate(choice.budget_per_day)}: ${choice.alarms} alarms in what was watched of the last week` +
    (choice.provisional ? "; more normal footage is needed to promise it" : "");
}
const budgets = attempt(async () => {
  const known = await get(`/api/v1/cameras/${name}/budgets?days=7`);
  choices = known.choices;
  document.getElementById("budget-now").textContent =
    `Now ${rate(known.budget_per_day)}; ${lasting(86400 * known.watched_days)} of the last week were watched.`;
  const judged = known.called_normal ? `, ${known.called_normal} of them called normal` : "";
  const often = known.raised_per_day === null ? "" : `: ${+known.raised_per_day.toPrecision(2)} in a watched day`;
  document.getElementById("raised").textContent = `${known.raised} alarms were raised${judged}${often}.`;
  budget.max = Math.max(choices.length - 1, 0);
  budget.value = choices.findIndex((choice) => choice.budget_per_day === known.budget_per_day);
  budget.disabled = document.getElementById("take").disabled = !choices.length;
  if (!choices.length) document.getElementById("would").textContent = "Its thresholds are set by hand, or it is not watched: there is nothing to choose.";
  wouldBe();
});
budget.addEventListener("input", wouldBe);
document.getElementById("take").addEventListener("click", attempt(async () => {
  const perDay = choices[budget.value].budget_per_day;
  const written = perDay >= 1 ? `${+perDay.toPrecision(4)}/day` : `${+(7 * perDay).toPrecision(4)}/week`;
  await send("PATCH", `/api/v1/cameras/${name}`, { alarm_budget: written });
  tell(`The alarm budget is ${written}.`);
  setTimeout(budgets, 2000);
}));

const model = attempt(async () => {
  const known = await get(`/api/v1/models/${name}`);
  document.getElementById("model").replaceChildren(...known.map((one) => {
    const list = el("dl", { class: "pairs" });
    pairs(list, { "Learned": when(one.learned), "From": `${one.frames} frames, ${lasting(one.footage_s)}`, "Sees": one.features.join(", "), "Backbone": one.backbone });
    return list;
  }));
  document.getElementById("rollback").disabled = !known.some((one) => one.previous);
  const entries = await get(`/api/v1/models/${name}/history`);
  document.getElementById("history").replaceChildren(...entries.slice(0, 20).map((entry) => el("li", {}, when(entry.time), ` ${entry.change} by ${entry.by}: ${entry.text}`)));
});
document.getElementById("relearn").addEventListener("click", attempt(async () => {
  await send("POST", `/api/v1/models/${name}/learn`, { live: "20m" });
  tell("It is being learned; it is watched by the model that it has until then.");
}));
document.getElementById("rollback").addEventListener("click", attempt(async () => {
  await send("POST", `/api/v1/models/${name}/rollback`, { regime: null });
  await model();
}));
paint();
await budgets();
await model();
showJobs(document.getElementById("jobs"), { only: (job) => job.subject === root.dataset.camera, onend: () => { model(); budgets(); } });
