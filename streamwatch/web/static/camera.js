import { attempt, el, get, lasting, pairs, rate, send, tell, when } from "/static/api.js";
import { draw } from "/static/chart.js";
import { outline, outlines } from "/static/outlines.js";
import { heatSlider, LivePicture } from "/static/pictures.js";
import { listen } from "/static/stream.js";

const root = document.getElementById("one");
const name = root.dataset.camera;
const base = `/api/v1/cameras/${encodeURIComponent(name)}`;
const picture = new LivePicture(root, name, { width: 1280, everyMs: 250 });
heatSlider(document.getElementById("opacity"), () => [picture])();
const charts = new Map();
const levels = new Map();
const KEPT = 1500;

function chart(field) {
  if (!charts.has(field)) {
    const canvas = el("canvas", { class: "chart", width: 600, height: 80, role: "img", "aria-label": `${field} in the last two minutes, against its threshold` });
    const value = el("span", { class: "muted" });
    document.getElementById("charts").append(el("div", {}, el("h3", {}, `${field} `, value), canvas));
    charts.set(field, { canvas, value });
    levels.set(field, levels.get(field) || []);
  }
  return charts.get(field);
}

function add(field, at, value, threshold, unit) {
  const { canvas, value: text } = chart(field);
  const points = levels.get(field);
  if (threshold && (!points.length || points.at(-1).at < at)) points.push({ at, value: value / threshold });
  if (points.length > KEPT) points.shift();
  text.textContent = threshold ? `${value.toFixed(2)} of ${threshold.toFixed(2)}${unit}` : "";
  draw(canvas, points);
}

function show(camera) {
  const shown = document.getElementById("state");
  shown.textContent = camera.state || "not watched";
  shown.className = `state ${camera.state || ""}`;
  if (camera.scored_at) {
    const at = Date.parse(camera.scored_at) / 1000;
    add("level", at, camera.level, camera.threshold, "");
    for (const field of camera.fields) add(field.name || "field", at, field.value, field.threshold, field.name === "motion" ? " px/s" : "");
  }
  const known = camera.calibration;
  pairs(document.getElementById("figures"), {
    "Scored": `${camera.frames_per_s.toFixed(1)} frames/s, ${camera.scored} of ${camera.received}`,
    "Behind": camera.latency_ms === null ? "-" : `${camera.latency_ms.toFixed(0)} ms`,
    "Left out": Object.entries(camera.drops).map(([reason, count]) => `${count} ${reason}`).join(", ") || "none",
    "Lost": Object.entries(camera.disconnects).map(([kind, count]) => `${count} ${kind}`).join(", ") || "never",
    "Alarm budget": rate(camera.alarm_budget_per_day),
    "Source": camera.source,
    "Snoozed until": camera.snoozed_until ? when(camera.snoozed_until) : "not snoozed",
  });
  document.getElementById("advice").textContent = known && known.share < 1
    ? `Calibrating: ${lasting(known.footage_s)} of ${lasting(known.needed_s)} of normal footage seen; until then events are provisional.` : "";
  const drawn = document.getElementById("drawn");
  drawn.replaceChildren(...(document.getElementById("outlines").checked ? outlines(camera).map(outline) : []));
  const named = Object.keys(camera.zones);
  document.getElementById("legend").textContent =
    [named.length ? `zones: ${named.join(", ")}` : "", camera.ignore.length ? `ignored parts: ${camera.ignore.length}` : ""].filter(Boolean).join("; ");
}

const earlier = await get(`${base}/levels?since=${Date.now() / 1000 - 120}`).catch(() => null);
if (earlier && earlier.threshold) {
  levels.set("level", earlier.points.map((point) => ({ at: point.at, value: point.level / earlier.threshold })));
  for (const [field, threshold] of Object.entries(earlier.field_thresholds)) {
    levels.set(field || "field", earlier.points.filter((point) => field in point.fields).map((point) => ({ at: point.at, value: point.fields[field] / threshold })));
  }
}
await attempt(async () => show(await get(base)))();
document.getElementById("outlines").addEventListener("change", attempt(async () => show(await get(base))));
document.getElementById("snooze")?.addEventListener("click", attempt(async () => {
  const camera = await get(base);
  const after = camera.snoozed_until ? await send("DELETE", `${base}/snooze`) : await send("PUT", `${base}/snooze`, { duration: "1h" });
  document.getElementById("snooze").textContent = after.snoozed_until ? "Raise events again" : "No events for an hour";
  show(after);
}));
listen({
  state: (cameras) => cameras.filter((camera) => camera.name === name).forEach(show),
  event: (event) => {
    if (event.camera === name && event.type === "anomaly.started") tell(event.speaks ? event.speaks.text : "something unusual", true, `/events/${event.id}`);
  },
});
