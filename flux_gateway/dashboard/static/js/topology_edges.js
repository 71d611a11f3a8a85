// Which lines the drawing has, and their shape.

import { isGone } from "./states.js";

const MOST_BAD = 24; // single lines to nodes with a bad link, in a grid

/** Return a list of {from, to, through, link, weight, title}; from and to are boxes, weight 0 to 1. */
export function edges(plan, nodes, proxies) {
  const found = [];
  const most = Math.max(1, ...proxies.map((proxy) => proxy.connections));
  proxies.forEach((proxy, i) => {
    const box = plan.proxies[i];
    const gone = isGone(proxy);
    found.push({
      from: plan.clients,
      to: box,
      link: gone ? "down" : proxy.connections ? "up" : "idle",
      weight: proxy.connections / most,
      title: `${proxy.connections} clients at ${proxy.id}`,
    });
    if (gone) return;
    const single = plan.frame === null;
    if (!single && nodes.length) {
      found.push({ from: box, to: plan.frame, link: proxy.connections ? "up" : "idle", weight: proxy.connections / most, title: "" });
    }
    let bad = 0;
    nodes.forEach((node, k) => {
      const link = proxy.links[node.id] ?? (isGone(node) ? null : "idle");
      if (link === null || (isGone(node) && link === "up")) return;
      const connections = proxy.nodes[node.id] ?? 0;
      const wrong = link !== "up" && link !== "idle";
      if (!single && (!wrong || plan.mode === "vertical" || isGone(node) || ++bad > MOST_BAD)) return;
      found.push({
        from: box,
        to: plan.nodes[k],
        through: single ? null : plan.frame,
        link: wrong ? link : connections ? "up" : "idle",
        weight: connections / most,
        title: `${proxy.id} to ${node.id}: ${connections} connections, link ${link}`,
      });
    });
  });
  if (nodes.length) {
    const ends = plan.frame ? [plan.frame] : plan.nodes.filter((_, k) => !isGone(nodes[k]));
    for (const box of ends) found.push({ from: box, to: plan.redis, link: "store", weight: 0, title: "" });
  }
  return found;
}

/**
 * Return the path of a line between two boxes, from left to right or from top to bottom. A line `through` the frame of
 * a grid runs along the gap above its cell, so that it crosses no other.
 */
export function path(mode, from, to, through = null) {
  if (through) {
    const gap = to.y - 2.5;
    const entry = { x: through.x, y: gap, w: 0, h: 0 };
    return `${path(mode, from, entry)}H${to.x + to.w / 2}V${to.y}`;
  }
  if (mode === "horizontal") {
    const [x1, y1, x2, y2] = [from.x + from.w, from.y + from.h / 2, to.x, to.y + to.h / 2];
    const bend = (x2 - x1) / 2;
    return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  }
  const [x1, y1, x2, y2] = [from.x + from.w / 2, from.y + from.h, to.x + to.w / 2, to.y];
  const bend = (y2 - y1) / 2;
  return `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
}
