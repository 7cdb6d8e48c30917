import { attempt, el, get, lasting, page, send, state, tell, when } from "/static/api.js";
import { judge } from "/static/cards.js";
import { listen } from "/static/stream.js";

const place = document.getElementById("reviewed");
const camera = document.getElementById("camera");
const judgedToo = document.getElementById("all");
const PAGES_AT_ONCE = 20;
let queue = [], at = 0, following = null, busy = false, loads = 0;

// What is shown stays, and can be judged, until the new list is there; of two that are asked for the later one counts.
const load = attempt(async () => {
  const only = camera.value ? `&camera=${encodeURIComponent(camera.value)}` : "";
  const mine = (loads += 1);
  let found = { items: [], next: `/api/v1/events?limit=200${only}` };
  for (let pages = 0; found.next && !found.items.length && pages < PAGES_AT_ONCE; pages += 1) found = await wanted(found.next);
  if (mine !== loads) return;
  [queue, following, at] = [found.items, found.next, 0];
  show();
});

async function wanted(path) {
  const found = await page(path);
  return { items: found.items.filter((event) => judgedToo.checked || !event.label), next: found.next };
}

async function loadMore() {
  const known = queue;
  const found = await wanted(following);
  if (known !== queue) return;
  queue.push(...found.items);
  following = found.next;
}

function where() {
  document.getElementById("where").textContent = queue[at] ? `${at + 1} of ${queue.length}${following ? " and more" : ""}` : "";
}

function show() {
  const event = queue[at];
  document.getElementById("nothing").hidden = Boolean(event);
  where();
  if (!event) return place.replaceChildren();
  const file = (kind) => event.evidence.find((known) => known.kind === kind)?.href;
  const media = file("clips")
    ? el("video", { src: file("clips"), controls: true, muted: true, autoplay: true, "aria-label": "the event's video" })
    : el("p", { class: "muted" }, "No video was kept, or it is still being written.");
  const buttons = ["normal", "anomaly", "none"].map((label) => el("button", { "data-label": label, "aria-pressed": String((event.label || "none") === label), onclick: () => say(label) },
    { normal: "Normal (N)", anomaly: "Anomaly (A)", none: "Neither (U)" }[label]));
  const note = el("textarea", { id: "note", rows: 2, maxlength: 1000, "aria-label": "note", onchange: attempt(async () => {
    event.note = note.value || null;
    await send("PUT", `/api/v1/events/${event.id}/note`, { note: event.note });
    tell("The note is kept.");
  }) }, event.note || "");
  return place.replaceChildren(
    el("div", {}, file("snapshots") ? el("img", { src: file("snapshots"), alt: `peak of the event of ${event.camera}, with its heat map`, class: "wide" }) : null, media),
    el("div", {},
      el("h2", {}, el("a", { href: `/events/${event.id}` }, event.zone ? `${event.camera} / ${event.zone}` : event.camera)),
      el("p", {}, when(event.start), event.end ? `, ${lasting(event.end_s - event.start_s)} ` : " ", state(event.end ? event.severity : "open")),
      el("p", { class: "said" }, event.speaks ? event.speaks.text : `level ${event.peak_score.toFixed(2)}`),
      el("div", { class: "actions" }, buttons), el("label", { for: "note" }, "Note (C)"), note));
}

const say = attempt(async (label) => {
  const event = queue[at];
  if (!event || busy) return;
  busy = true;
  try {
    await judge([event.id], label);
  } finally {
    busy = false;
  }
  event.label = label === "none" ? null : label;
  if (queue[at] === event) await step(1);
});

const step = attempt(async (by) => {
  if (by > 0 && at === queue.length - 1) {
    if (following) await loadMore();
    else if (queue[at].label && !judgedToo.checked) return load();
  }
  at = Math.max(0, Math.min(at + by, queue.length - 1));
  return show();
});

const KEYS = {
  ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1),
  n: () => say("normal"), a: () => say("anomaly"), u: () => say("none"),
  c: () => document.getElementById("note")?.focus(),
  " ": () => { const video = place.querySelector("video"); if (video) video.paused ? video.play() : video.pause(); },
};
document.addEventListener("keydown", (press) => {
  if (press.target.matches("input, textarea, select, button, video, a") && press.key !== "Escape") {
    if (!press.target.matches("button, a") || press.key === " ") return;
  }
  if (press.key === "Escape") press.target.blur();
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  const act = !press.ctrlKey && !press.metaKey && !press.altKey && !press.repeat && KEYS[key];
  if (act) {
    press.preventDefault();
    act();
  }
});
camera.addEventListener("change", load);
judgedToo.addEventListener("change", load);
await load();
listen({ event: attempt(async (change) => {
  if (change.type !== "anomaly.ended" || (camera.value && camera.value !== change.camera) || queue.some((event) => event.id === change.id)) return;
  queue.splice(following ? 0 : queue.length, 0, await get(`/api/v1/events/${change.id}`));
  if (queue.length === 1) return show();
  if (following) at += 1;
  return where();
}) });
