import { attempt, bytes, el, get, live, mayAdminister, number, pairs, table, when } from "/static/api.js";
import { showJobs } from "/static/jobs.js";

const listed = (counts) => Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ") || "none";

function meter(label, share, text) {
  const bar = el("span", {});
  bar.style.width = `${Math.min(100 * share, 100)}%`;
  return el("div", {}, el("p", {}, text), el("div", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) }, bar));
}

function figures(capacity) {
  if (!capacity) return ["-", "-", "-"].map(number);
  const { scored_per_s: scored, busy_share: busy, room_for_cameras: more } = capacity;
  return [number(`${scored}/s`), number(`${Math.round(100 * busy)} %`), number(more === null ? "-" : String(more))];
}

const look = attempt(async () => {
  if (document.hidden) return;
  const summary = await get("/api/v1/summary");
  pairs(document.getElementById("summary"), {
    "Cameras": `${summary.cameras} (${listed(summary.states)})`,
    "Frames": `${summary.scored} scored of ${summary.received}`,
    "Open events": String(summary.open_events),
    "Messages that wait": String(summary.pending_messages),
    "Messages given up": String(summary.dead_messages),
  });
  document.getElementById("losses").replaceChildren(
    el("h3", {}, "Not scored"), el("p", {}, listed(summary.drops)), el("h3", {}, "Lost connections"), el("p", {}, listed(summary.disconnects)));
  const shards = live ? await get("/api/v1/shards").catch(() => []) : [];
  document.getElementById("shared").hidden = !shards.length;
  document.getElementById("shards").replaceChildren(table(["Shard", "Machine", "Cameras", "Scored", "Busy", "Room for", "Version", "Since"], shards.map((shard) => [
    shard.address ? el("a", { href: shard.address }, shard.shard) : shard.here ? `${shard.shard} (this one)` : shard.shard,
    shard.host, number(String(shard.cameras.length)), ...figures(shard.capacity), shard.version, when(shard.began)])));
  const room = live ? await get("/api/v1/capacity").catch(() => null) : null;
  document.getElementById("capacity").replaceChildren(...(room ? [
    meter("how busy the device is", room.busy_share, `The device works ${Math.round(100 * room.busy_share)} % of the time, on ${room.scored_per_s} of ${room.asked_per_s} frames/s that are asked for.`),
    el("p", {}, room.room_for_cameras === null ? "Nothing was scored yet." : `Room for ${room.room_for_cameras} more cameras like these.`),
  ] : [el("p", { class: "muted" }, "Nothing is watched here.")]));
});

await look();
setInterval(look, 3000);
await attempt(async () => {
  const system = await get("/api/v1/system");
  pairs(document.getElementById("versions"), { ...system.versions, "device": system.device, "since": when(system.began) });
  const { disk } = system, used = Object.entries(disk.evidence_bytes).filter(([, size]) => size);
  document.getElementById("disk").replaceChildren(
    meter("how full the disk is", 1 - disk.free_bytes / disk.total_bytes, `${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`),
    used.length ? table(["Evidence", "Size"], used.map(([kind, size]) => [kind, number(bytes(size))])) : el("p", { class: "muted" }, "No evidence yet."));
})();
showJobs(document.getElementById("jobs"));
if (mayAdminister) {
  await attempt(async () => {
    const entries = await get("/api/v1/audit?limit=50");
    document.getElementById("audit").replaceChildren(entries.length
      ? table(["When", "Who", "Role", "From", "What", "Answer"], entries.map((entry) => [when(entry.at), entry.who, entry.role || "-", entry.address, el("code", {}, entry.action), number(entry.status)]))
      : el("p", { class: "muted" }, "Nobody changed anything yet."));
  })();
}
