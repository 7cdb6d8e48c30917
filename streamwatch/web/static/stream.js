// What happens, as it happens. A page that is hidden hears nothing, and catches up when it is looked at again.

import { el, live } from "/static/api.js";

const STALE_MS = 5000;

export function listen(handlers, query = () => "") {
  if (!live) return () => {}; // events of a daemon that has ended, or of the demo
  let source = null;
  let heard = Date.now();
  const lost = el("p", { class: "lost", role: "alert", hidden: true }, "Nothing was heard of streamwatch for a while: what is shown is old.");
  document.getElementById("main").prepend(lost);
  setInterval(() => { lost.hidden = document.hidden || Date.now() - heard < STALE_MS; }, 1000);
  document.addEventListener("visibilitychange", () => { heard = Date.now(); });
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(`/api/v1/stream${query()}`);
    source.addEventListener("state", () => { heard = Date.now(); });
    let opened = 0;
    source.addEventListener("open", () => { if (opened++) handlers.again?.(); });
    source.addEventListener("missed", () => handlers.again?.());
    for (const [kind, handle] of Object.entries(handlers)) {
      if (kind !== "again") source.addEventListener(kind, (message) => handle(JSON.parse(message.data)));
    }
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(open, 5000);
      }
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    handlers.again?.();
    return open();
  });
  open();
  return () => {
    close();
    open();
  };
}
