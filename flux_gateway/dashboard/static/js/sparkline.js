// A line of the last 15 minutes. The path is drawn on a 300 x 100 grid and stretched; strokes keep their width.

import { SPAN } from "./history.js";
import { setAttr, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 100;

export function sparkline() {
  const area = svg("path", { class: "spark-area" });
  const line = svg("path", { class: "spark-line" });
  const drawing = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    area,
    line,
  );
  return { drawing, draw: (points, now, options) => draw(area, line, points, now, options) };
}

/** `points` are [unix seconds, value], oldest first; a gap longer than `gap` seconds breaks the line. */
function draw(area, line, points, now, { gap = 30, least = 1 } = {}) {
  const top = Math.max(least, ...points.map(([, value]) => value)) * 1.08;
  const x = (at) => Math.max(0, ((at - (now - SPAN)) / SPAN) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 2 - (value / top) * (HEIGHT - 6)).toFixed(1);
  let lines = "";
  let areas = "";
  for (const run of runs(points.filter(([at]) => at >= now - SPAN - gap), gap)) {
    // A single sample is a short dash, or it could not be seen.
    const ends = run.length > 1 ? run : [[run[0][0] - 4, run[0][1]], run[0]];
    const path = ends.map(([at, value]) => `${x(at)} ${y(value)}`).join("L");
    lines += `M${path}`;
    areas += `M${x(ends[0][0])} ${HEIGHT}L${path}L${x(ends.at(-1)[0])} ${HEIGHT}Z`;
  }
  setAttr(line, "d", lines);
  setAttr(area, "d", areas);
}

function runs(points, gap) {
  const found = [];
  for (const point of points) {
    const last = found.at(-1);
    if (last && point[0] - last.at(-1)[0] <= gap) last.push(point);
    else found.push([point]);
  }
  return found;
}
