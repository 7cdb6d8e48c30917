// Work that takes long, as it goes on.

import { attempt, el, get, mayAdminister, send, state, when } from "/static/api.js";

export function jobCard(job) {
  const bar = el("span", {});
  const goesOn = ["waiting", "running"].includes(job.state);
  const share = job.share ?? (job.state === "done" ? 1 : 0);
  const made = el("article", { class: "job" },
    el("p", {}, `${job.kind} ${job.subject} `, state(job.state), " ", when(job.began || job.asked), " ",
      goesOn && mayAdminister ? el("button", { class: "quiet", onclick: attempt(() => send("POST", `/api/v1/jobs/${job.id}/cancel`)) }, "Cancel") : null),
    el("div", { class: "meter", role: "progressbar", "aria-label": `${job.kind} ${job.subject}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) }, bar),
    job.lines.length ? el("pre", { tabindex: 0 }, job.lines.slice(-8).join("\n")) : null);
  bar.style.width = `${100 * share}%`;
  return made;
}

export function showJobs(place, { only = () => true, onend = () => {} } = {}) {
  let running = new Set();
  const look = attempt(async () => {
    if (document.hidden) return;
    const jobs = (await get("/api/v1/jobs")).filter(only);
    place.replaceChildren(...(jobs.length ? jobs.slice(0, 10).map(jobCard) : [el("p", { class: "muted" }, "No work was asked for.")]));
    const now = new Set(jobs.filter((job) => ["waiting", "running"].includes(job.state)).map((job) => job.id));
    if ([...running].some((id) => !now.has(id))) onend();
    running = now;
  });
  look();
  setInterval(look, 2000);
  return look;
}
