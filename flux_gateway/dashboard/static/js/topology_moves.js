// Sessions on their way from one node to another, shown once, calmly: the way lights up, a few dots travel along it.

import { svg } from "./dom.js";
import { path } from "./topology_edges.js";
import { isGone } from "./states.js";

const LIT = 2600; // ms a way stays lit
const LEG = 900; // ms a dot needs from a node to the proxy, and again from there
const STAGGER = 110; // ms between two dots
const MOST_DOTS = 6; // for each way, however many sessions there are
const MOST_WAYS = 12; // at a time, the busiest first

/**
 * Return [{from, to, sessions, reattached}] of one proxy: between which nodes it has moved sessions. It tells how many
 * it has moved, and how many it has on each node; clients that came and went meanwhile blur that a little.
 */
export function flows(before, after) {
  if (!before || !after || isGone(after)) return [];
  // A proxy that was restarted counts from 0 again.
  const was = before.started_at === after.started_at ? before.moves : {};
  const since = (name) => Math.max(0, (after.moves[name] ?? 0) - (was[name] ?? 0));
  const reattached = since("reattach");
  let left = since("move") + reattached;
  const sources = [];
  const targets = [];
  for (const id of new Set([...Object.keys(before.nodes), ...Object.keys(after.nodes)])) {
    const change = (after.nodes[id] ?? 0) - (before.nodes[id] ?? 0);
    if (change < 0) sources.push({ id, n: -change });
    else if (change > 0) targets.push({ id, n: change });
  }
  const gained = targets.reduce((all, target) => all + target.n, 0);
  const found = [];
  for (const source of sources) {
    const gone = Math.min(source.n, left, gained);
    left -= gone;
    for (const target of targets) {
      const sessions = Math.round((gone * target.n) / gained);
      if (sessions) found.push({ from: source.id, to: target.id, sessions, reattached: reattached > 0 });
    }
  }
  return found;
}

export class Motion {
  layer = svg("g", { class: "moves" });
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** Show what `flows` has found for the proxy in `proxyBox`; `boxOf(id)` returns a node's box. */
  show(plan, proxyBox, found, boxOf) {
    const ways = [...found].sort((a, b) => b.sessions - a.sessions).slice(0, MOST_WAYS);
    // Beside each other the cells of a grid are reached along its gaps; below each other directly, behind the others.
    const through = plan.mode === "horizontal" ? plan.frame : null;
    for (const { from, to, sessions, reattached } of ways) {
      const [source, target] = [boxOf(from), boxOf(to)];
      if (!source || !target) continue;
      const [there, on] = [source, target].map((box) => path(plan.mode, proxyBox, box, through));
      const way = svg(
        "g",
        { "data-from": from, "data-to": to, "data-sessions": sessions, "data-state": reattached ? "SUSPECT" : "UP" },
        svg("path", { class: "way", d: there }),
        svg("path", { class: "way", d: on }),
      );
      this.layer.append(way);
      if (!this.#calm.matches) this.#send(way, there, on, Math.min(MOST_DOTS, Math.ceil(Math.sqrt(sessions))));
      setTimeout(() => way.remove(), LIT);
    }
  }

  #send(way, there, on, dots) {
    for (let k = 0; k < dots; k += 1) {
      // Lines run from the proxy to the nodes: the first leg goes backwards.
      this.#travel(way, there, "1;0", k * STAGGER);
      this.#travel(way, on, "0;1", k * STAGGER + LEG);
    }
  }

  #travel(way, along, keyPoints, delay) {
    const motion = svg("animateMotion", {
      path: along, keyPoints, keyTimes: "0;1", calcMode: "linear", dur: `${LEG}ms`, begin: "indefinite",
    });
    const dot = svg("circle", { class: "dot-moving", r: 3.5 }, motion);
    setTimeout(() => {
      way.append(dot);
      motion.beginElement();
    }, delay);
    setTimeout(() => dot.remove(), delay + LEG);
  }
}
