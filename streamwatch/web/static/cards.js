// How an event is shown in a list, and how people judge it.

import { el, lasting, mayOperate, send, state, when } from "/static/api.js";

export function card(event, { onpick } = {}) {
  const shot = event.evidence.find((file) => file.kind === "snapshots") || event.evidence.find((file) => file.kind === "starts");
  const where = event.zone ? `${event.camera} / ${event.zone}` : event.camera;
  const picture = shot
    ? el("img", { src: shot.href, loading: "lazy", alt: `${shot.kind === "snapshots" ? "heat map" : "beginning"} of the event of ${where}` })
    : el("span", { class: "muted" }, "no picture");
  const pick = onpick && el("input", { type: "checkbox", class: "pick", "aria-label": `choose the event of ${where}`, onchange: onpick });
  if (pick) pick.value = event.id;
  const lasted = event.end ? lasting(event.end_s - event.start_s) : null;
  return el("article", { class: `card event ${event.end ? "" : "alarm"}`, "data-id": event.id },
    el("a", { class: "shot", href: `/events/${event.id}` }, picture),
    el("div", { class: "facts" }, pick,
      el("h3", {}, el("a", { href: `/events/${event.id}` }, where)),
      el("p", {}, when(event.start), lasted ? `, ${lasted} ` : " ", state(event.end ? event.severity : "open"), " ",
        event.label ? state(event.label) : null),
      el("p", { class: "muted" }, event.speaks ? event.speaks.text : `level ${event.peak_score.toFixed(2)}`),
      event.note ? el("p", {}, event.note) : null));
}

export async function judge(ids, label) {
  const path = ids.length === 1 ? `/api/v1/events/${ids[0]}/label` : "/api/v1/events/labels";
  return send(ids.length === 1 ? "PUT" : "POST", path, ids.length === 1 ? { label } : { ids, label });
}

export { mayOperate };
