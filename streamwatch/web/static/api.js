// Calls of the API, and what every page needs to show its answers.

const TELL_MS = 8000;

export class Refused extends Error {
  constructor(status, detail, problem) {
    super(detail);
    this.status = status;
    this.problem = problem;
  }
}

export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { accept: "application/json", ...headers } };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  if (method !== "GET") options.headers["idempotency-key"] = newKey();
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, "streamwatch does not answer; is the daemon running?");
  }
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail || `${answer.status} ${answer.statusText}`, problem);
  }
  return answer;
}

export const get = async (path) => (await call("GET", path)).json();
export const send = async (method, path, body, headers) => (await call(method, path, body, headers)).json();

// crypto.randomUUID is there in secure contexts alone, and the page may be on plain http in a local network.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function page(path) {
  const answer = await call("GET", path);
  const next = /<([^>]+)>; rel="next"/.exec(answer.headers.get("link") || "");
  return { items: await answer.json(), next: next && next[1] };
}

export function tell(text, bad = false, link = null) {
  const note = el("div", { class: bad ? "bad" : "" }, link ? el("a", { href: link }, text) : text);
  document.getElementById("told").append(note);
  setTimeout(() => note.remove(), TELL_MS);
}

export function attempt(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      tell(error.message, true);
      return undefined;
    }
  };
}

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function when(iso) {
  const at = new Date(iso);
  const text = at.toDateString() === new Date().toDateString() ? short.format(at) : whole.format(at);
  return el("time", { datetime: iso, title: iso }, text);
}

export function localTimes(root = document) {
  for (const shown of root.querySelectorAll("time[datetime]")) {
    shown.textContent = whole.format(new Date(shown.dateTime));
    shown.title = shown.dateTime;
  }
}

export function lasting(seconds) {
  for (const [size, unit] of [[86400, "days"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${(seconds / size).toFixed(1)} ${unit}`;
  }
  return `${seconds.toFixed(0)} s`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${(count / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

export function rate(perDay) {
  if (perDay >= 24) return `${+(perDay / 24).toPrecision(3)} an hour`;
  if (perDay >= 0.9) return `${+perDay.toPrecision(2)} a day`;
  if (perDay >= 0.12) return `${+(7 * perDay).toPrecision(2)} a week`;
  return `${+(30 * perDay).toPrecision(2)} a month`;
}

export function pairs(list, values) {
  list.replaceChildren(...Object.entries(values).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value ?? "-")]));
}

export function table(heads, rows) {
  const cell = (value) => (value instanceof Node && value.tagName === "TD" ? value : el("td", {}, value ?? "-"));
  return el("table", {},
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell)))));
}

export const number = (value) => el("td", { class: "number" }, String(value));
export const state = (name) => el("span", { class: `state ${name}` }, name);
export const live = document.body.dataset.live === "true";
export const mayOperate = document.body.dataset.mayOperate === "true";
export const mayAdminister = document.body.dataset.mayAdminister === "true";
