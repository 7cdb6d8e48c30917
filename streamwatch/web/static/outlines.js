// Polygons over a picture.

import { svg } from "/static/api.js";

export const scaled = (polygon) => polygon.map(([x, y]) => `${100 * x},${100 * y}`).join(" ");

export function outlines(camera) {
  const zones = Object.entries(camera.zones).map(([name, polygon]) => ({ kind: "zone", name, polygon }));
  const others = ["ignore", "privacy"].flatMap((kind) => camera[kind].map((polygon) => ({ kind, name: "", polygon })));
  return [...zones, ...others];
}

export function outline({ kind, name, polygon }) {
  return svg("polygon", { class: kind, points: scaled(polygon) }, svg("title", {}, name || kind));
}
