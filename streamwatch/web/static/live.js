import { get, lasting, tell } from "/static/api.js";
import { draw } from "/static/chart.js";
import { heatSlider, LivePicture, StreamedPicture } from "/static/pictures.js";
import { listen } from "/static/stream.js";

const KEPT = 400;
const ELSEWHERE_MS = 2000; // pictures of cameras that another process watches are asked for, not streamed
const here = document.body.dataset.shard;
const cards = new Map();
const grid = document.getElementById("cameras");
const visible = new Set();
let asked = "";
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const name = entry.target.dataset.camera;
    visible[entry.isIntersecting ? "add" : "delete"](name);
    const picture = cards.get(name)?.picture;
    if (picture instanceof LivePicture) picture.visible = entry.isIntersecting;
  }
  clearTimeout(seen.timer);
  seen.timer = setTimeout(() => { if (query() !== asked) again(); }, 500);
});
const fade = heatSlider(document.getElementById("opacity"), () => [...cards.values()].map((card) => card.picture));

function made(camera) {
  const article = document.getElementById("camera").content.cloneNode(true).querySelector("article");
  const address = `/cameras/${encodeURIComponent(camera.name)}`;
  article.dataset.camera = camera.name;
  article.querySelector(".seen").href = address;
  article.querySelector(".picture").alt = `the newest picture of ${camera.name}`;
  article.querySelector(".chart").setAttribute("aria-label", `level of ${camera.name} in the last two minutes, against its threshold`);
  const name = article.querySelector(".name");
  name.href = address;
  name.textContent = camera.name;
  grid.append(article);
  const shard = camera.shard ?? null;
  const elsewhere = shard !== null && shard !== here;
  const picture = elsewhere ? new LivePicture(article, camera.name, { width: 320, everyMs: ELSEWHERE_MS }) : new StreamedPicture(article);
  seen.observe(article);
  const card = { article, picture, shard, points: [] };
  cards.set(camera.name, card);
  return card;
}

// Another process watches it now, so that its pictures come in another way.
function moved(camera) {
  const card = cards.get(camera.name);
  const next = card.article.nextSibling;
  drop(camera.name);
  const again = made(camera);
  again.points = card.points;
  grid.insertBefore(again.article, next);
}

function drop(name) {
  const card = cards.get(name);
  seen.unobserve(card.article);
  card.picture.end?.();
  card.article.remove();
  visible.delete(name);
  cards.delete(name);
}

function adviceFor(camera) {
  if (camera.enabled && !camera.state && here) return "no process watches it now";
  if (!camera.enabled) return "switched off in the configuration, or not learned yet";
  if (camera.tamper) return `its picture cannot be watched: ${camera.tamper}`;
  if (camera.state === "offline") return "no pictures come: look at its power, its cable and its password";
  const known = camera.calibration;
  if (camera.state === "calibrating" && known && known.share < 1) {
    return `calibrating: ${lasting(known.footage_s)} of ${lasting(known.needed_s)} of normal footage seen (${Math.floor(100 * known.share)} %)`;
  }
  return "";
}

function show(camera) {
  if (cards.has(camera.name) && cards.get(camera.name).shard !== (camera.shard ?? null)) moved(camera);
  const card = cards.get(camera.name) || made(camera);
  const { article } = card;
  const ratio = camera.level !== null && camera.threshold ? camera.level / camera.threshold : 0;
  article.classList.toggle("alarm", ratio >= 1);
  const state = article.querySelector(".state");
  state.textContent = camera.state || "not watched";
  state.className = `state ${camera.state || ""}`;
  const level = article.querySelector(".level");
  level.classList.toggle("over", ratio >= 1);
  level.querySelector(".filled").style.width = `${Math.min(ratio / 1.5, 1) * 100}%`;
  const latency = camera.latency_ms === null ? "" : `, ${camera.latency_ms.toFixed(0)} ms behind`;
  article.querySelector(".figures").textContent =
    `level ${camera.level === null ? "-" : camera.level.toFixed(2)} of ${camera.threshold === null ? "-" : camera.threshold.toFixed(2)}, ` +
    `${camera.frames_per_s.toFixed(1)} frames/s${latency}${camera.shard ? `, shard ${camera.shard}` : ""}`;
  article.querySelector(".advice").textContent = adviceFor(camera);
  if (camera.scored_at) {
    const at = Date.parse(camera.scored_at) / 1000;
    if (!card.points.length || card.points.at(-1).at < at) card.points.push({ at, value: ratio });
    if (card.points.length > KEPT) card.points.shift();
  }
  draw(article.querySelector(".chart"), card.points);
}

function showAll(cameras) {
  document.getElementById("count").textContent =
    `${cameras.length} cameras, ${cameras.filter((camera) => ["running", "calibrating"].includes(camera.state)).length} watched`;
  cameras.forEach(show);
  for (const name of [...cards.keys()]) {
    if (!cameras.some((camera) => camera.name === name)) drop(name);
  }
  fade();
}

async function earlier(camera) {
  const levels = await get(`/api/v1/cameras/${encodeURIComponent(camera.name)}/levels?since=${Date.now() / 1000 - 120}`).catch(() => null);
  const card = cards.get(camera.name);
  if (levels && card && levels.threshold) {
    const before = levels.points.map((point) => ({ at: point.at, value: point.level / levels.threshold }));
    card.points = [...before, ...card.points.filter((point) => !before.length || point.at > before.at(-1).at)];
  }
}

const first = await get("/api/v1/cameras").catch((error) => { tell(error.message, true); return []; });
showAll(first);
const slider = document.getElementById("opacity");
const again = listen({
  state: showAll,
  pictures: (shown) => {
    for (const [name, parts] of Object.entries(shown)) {
      const picture = cards.get(name)?.picture;
      if (picture instanceof StreamedPicture) picture.show(parts);
    }
  },
  event: (event) => {
    if (event.type === "anomaly.started") tell(`${event.camera}: ${event.speaks ? event.speaks.text : "something unusual"}`, true, `/events/${event.id}`);
  },
  notice: (notice) => tell(`${notice.camera || "streamwatch"}: ${notice.type}`, notice.type.endsWith("offline")),
}, () => (asked = query()));
slider.addEventListener("change", () => { if (query() !== asked) again(); });

function query() {
  const cameras = [...visible].sort().map((name) => `&camera=${encodeURIComponent(name)}`).join("");
  return `?pictures=320${slider.value > 0 ? "&heat=true" : ""}${cameras}`;
}
for (const camera of first.slice(0, 32)) await earlier(camera);
