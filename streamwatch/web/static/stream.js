// What happens, as it happens. A page that is hidden hears nothing, and catches up when it is looked at again.

export function listen(handlers, query = () => "") {
  let source = null;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(`/api/v1/stream${query()}`);
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (message) => handle(JSON.parse(message.data)));
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
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
  return () => {
    close();
    open();
  };
}
