import { attempt, el, get, live, mayOperate, page, svg, tell } from "/static/api.js";
import { card, judge } from "/static/cards.js";
import { listen } from "/static/stream.js";

const DAY_MS = 86_400_000;
const list = document.getElementById("events");
const filters = document.getElementById("filters");
const more = document.getElementById("more");
let next = null;

function asked() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) {
    if (value) query.set(name, ["since", "until"].includes(name) ? new Date(value).toISOString() : value);
  }
  return query;
}

const chosen = () => [...list.querySelectorAll(".pick:checked")].map((box) => box.value);

function onpick() {
  const count = chosen().length;
  document.getElementById("bulk").hidden = !count;
  document.getElementById("chosen").textContent = `${count} chosen:`;
}

function shown(event) {
  return card(event, mayOperate ? { onpick } : {});
}

const load = attempt(async () => {
  const query = asked();
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  document.getElementById("export").href = `/api/v1/events/export?${query}`;
  const { items, next: following } = await page(`/api/v1/events?${query}`);
  list.replaceChildren(...items.map(shown));
  document.getElementById("nothing").hidden = items.length > 0;
  next = following;
  more.hidden = !next;
  await timeline(query.get("camera"));
});

async function timeline(camera) {
  const since = new Date(Date.now() - DAY_MS).toISOString();
  const only = camera ? `&camera=${encodeURIComponent(camera)}` : "";
  const { items } = await page(`/api/v1/events?limit=500&since=${since}${only}`);
  const misses = !live ? [] : await get(`/api/v1/near-misses?limit=500&since=${since}${only}`).catch(() => []);
  const cameras = [...new Set([...items, ...misses].map((thing) => thing.camera))].sort();
  const place = (iso) => ((Date.parse(iso) - Date.now() + DAY_MS) / DAY_MS) * 1000;
  document.getElementById("timeline").replaceChildren(...cameras.map((name) => {
    const strip = svg("svg", { viewBox: "0 0 1000 20", preserveAspectRatio: "none", role: "group", "aria-label": `events and near misses of ${name} in the last 24 hours` });
    for (const miss of misses.filter((thing) => thing.camera === name)) {
      const what = `near miss: ${miss.field} at ${Math.round(100 * miss.share)} % of its threshold, ${new Date(miss.at).toLocaleTimeString()}`;
      strip.append(svg("rect", { class: "miss", x: Math.min(place(miss.at), 997), y: 10, width: 2, height: 10 }, svg("title", {}, what)));
    }
    for (const event of items.filter((thing) => thing.camera === name)) {
      const from = Math.min(place(event.start), 995), width = Math.max(place(event.end || new Date().toISOString()) - from, 3);
      const link = svg("a", { href: `/events/${event.id}` },
        svg("rect", { class: "event", x: from, y: 0, width, height: 20 }, svg("title", {}, `${new Date(event.start).toLocaleTimeString()}: ${event.speaks?.text || "event"}`)));
      strip.append(link);
    }
    return el("div", { class: "line" }, el("span", {}, name), strip);
  }));
  if (!cameras.length) document.getElementById("timeline").replaceChildren(el("p", { class: "muted" }, "Nothing happened, and nothing nearly did."));
}

more.addEventListener("click", attempt(async () => {
  const { items, next: following } = await page(next);
  list.append(...items.map(shown));
  next = following;
  more.hidden = !next;
}));

document.getElementById("bulk")?.addEventListener("click", attempt(async (click) => {
  const label = click.target.dataset.label;
  if (!label) return;
  const done = await judge(chosen(), label);
  tell(`${done.ids.length} events: ${label}${done.jobs.length ? "; their models learn it now" : ""}`);
  await load();
  onpick();
}));

for (const [name, value] of new URLSearchParams(location.search)) {
  const field = filters.elements.namedItem(name);
  if (field && !["since", "until"].includes(name)) field.value = value;
}
filters.addEventListener("change", load);
filters.addEventListener("submit", (submitted) => submitted.preventDefault());
await load();
listen({
  again: load,
  event: attempt(async (change) => {
    const query = asked();
    if (query.get("camera") && query.get("camera") !== change.camera) return;
    const event = await get(`/api/v1/events/${change.id}`);
    const before = list.querySelector(`[data-id="${change.id}"]`);
    if (before) before.replaceWith(shown(event));
    else if (["severity", "label", "state", "since", "until"].every((name) => !query.get(name))) list.prepend(shown(event));
    document.getElementById("nothing").hidden = true;
  }),
});
