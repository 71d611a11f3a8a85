// The drawing: clients -> proxies -> nodes -> Redis.

import { byId, el, icon, setAttr, setText, svg } from "./dom.js";
import { count, names, plural } from "./format.js";
import { edges, path } from "./topology_edges.js";
import { layout } from "./topology_layout.js";
import { Motion, flows } from "./topology_moves.js";
import { ORDER, isGone, shownState, word } from "./states.js";

const LEGEND = ["UP", "STARTING", "DRAINING", "SUSPECT", "DEAD", "STOPPED"];

export class Topology {
  #store;
  #place = byId("topology");
  #width = 0;
  #shape = "";
  #parts = null;
  #motion = new Motion();
  #moving = new Map(); // proxy id -> moves that were told and are not shown yet

  constructor(store) {
    this.#store = store;
    new ResizeObserver(([entry]) => {
      const width = Math.floor(entry.contentRect.width);
      if (width === this.#width) return;
      this.#width = width;
      this.draw();
    }).observe(this.#place);
    this.#place.addEventListener("click", (event) => {
      const id = event.target.closest?.("[data-node]")?.dataset.node;
      if (id) showRow(id);
    });
  }

  note(changes) {
    if (document.hidden) return; // what nobody sees is no news later
    for (const { id, kind, before, after } of changes) {
      const found = kind === "proxy" ? flows(before, after) : [];
      if (found.length) this.#moving.set(id, [...(this.#moving.get(id) ?? []), ...found]);
    }
  }

  draw() {
    const { nodes: nodeMap, proxies: proxyMap, freshness } = this.#store;
    if (this.#width < 200 || freshness.version < 0) return;
    const nodes = [...nodeMap.values()];
    const proxies = [...proxyMap.values()];
    const prefix = commonPrefix(nodes.map((node) => node.id));
    const longest = Math.max(1, ...nodes.map((node) => node.id.length - prefix.length));
    const plan = layout(this.#width, proxies.length, nodes.length, longest);
    // The boxes stay as long as the same members are there, so that a tooltip stays, too; lines and words change.
    const shape = `${this.#width} ${nodes.map((node) => node.id)} ${proxies.map((proxy) => proxy.id)}`;
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#parts = this.#build(plan, nodes, proxies, prefix);
    }
    this.#show(plan, nodes, proxies);
    this.#move(plan, nodes, proxies);
    this.#legend(nodes);
  }

  #move(plan, nodes, proxies) {
    const boxes = new Map(nodes.map((node, k) => [node.id, plan.nodes[k]]));
    proxies.forEach((proxy, i) => {
      this.#motion.show(plan, plan.proxies[i], this.#moving.get(proxy.id) ?? [], (id) => boxes.get(id));
    });
    this.#moving.clear();
  }

  #build(plan, nodes, proxies, prefix) {
    const lines = svg("g");
    const drawing = svg(
      "svg",
      { class: "drawing", viewBox: `0 0 ${plan.width} ${plan.height}`, width: plan.width, height: plan.height, role: "img" },
      lines,
      this.#motion.layer,
    );
    this.#motion.layer.replaceChildren(); // drawn for boxes that stood elsewhere
    if (plan.frame) {
      const { x, y, w, h } = plan.frame;
      drawing.append(
        svg("rect", { class: "frame", x, y, width: w, height: h, rx: 10 }),
        svg("text", { class: "frame-name", x: x + 11, y: y + 21 }, plan.words || !prefix ? "Nodes" : `Nodes ${prefix}…`),
      );
    }
    const clients = box(plan.clients, "Clients");
    const redis = box(plan.redis, "Redis");
    const proxyParts = proxies.map((proxy, i) => box(plan.proxies[i], proxy.id));
    const nodeParts = nodes.map((node, k) =>
      plan.words ? box(plan.nodes[k], node.id, node.id) : cell(plan.nodes[k], node.id, node.id.slice(prefix.length)),
    );
    for (const part of [clients, ...proxyParts, ...nodeParts, redis]) drawing.append(part.group);
    this.#place.replaceChildren(drawing);
    return { drawing, lines, clients, redis, proxies: proxyParts, nodes: nodeParts };
  }

  #show(plan, nodes, proxies) {
    const parts = this.#parts;
    const { stale, as_of } = this.#store.freshness;
    const routing = proxies.filter((proxy) => !isGone(proxy));
    const clients = routing.reduce((all, proxy) => all + proxy.connections, 0);
    parts.clients.say("NEUTRAL", "clients", [plural(clients, "connection"), `${count(clients)} conn.`, count(clients)]);
    parts.redis.say(stale ? "SUSPECT" : "NEUTRAL", "redis", [stale ? (as_of ? "away" : "no answer") : "answers"]);
    proxies.forEach((proxy, i) => parts.proxies[i].say(proxy.state, proxy.state, line(proxy)));
    nodes.forEach((node, k) => parts.nodes[k].say(shownState(node), shownState(node), line(node)));
    parts.lines.replaceChildren(
      ...edges(plan, nodes, proxies).map(({ from, to, through, link, weight, title }) => {
        const width = link === "store" ? 1.4 : 1.6 + 4.4 * Math.sqrt(weight);
        const drawn = svg("path", { class: "edge", d: path(plan.mode, from, to, through), "data-link": link, "stroke-width": width.toFixed(1) });
        if (title) drawn.append(svg("title", {}, title));
        return drawn;
      }),
    );
    setAttr(parts.drawing, "aria-label", describe(nodes, proxies, clients, stale));
  }

  #legend(nodes) {
    const counts = LEGEND.map((state) => [state, nodes.filter((node) => shownState(node) === state).length]).filter(([, n]) => n);
    const key = String(counts);
    const legend = byId("legend");
    if (legend.dataset.key === key) return;
    legend.dataset.key = key;
    legend.replaceChildren(
      ...counts.map(([state, n]) => el("li", { "data-state": state }, icon(state), `${count(n)} ${word(state).toLowerCase()}`)),
    );
  }
}

/** What a box says below the name: the longest of these that fits. */
function line(member) {
  const state = word(shownState(member));
  if (isGone(member)) return [state];
  return [`${state} · ${count(member.connections)} conn.`, `${state} · ${count(member.connections)}`, state];
}

function box({ x, y, w, h }, name, node = null) {
  const sign = svg("g", { class: "box-icon", transform: `translate(${x + 12} ${y + h / 2 - 9})` });
  const more = svg("text", { class: "box-more", x: x + 38, y: y + h / 2 + 14 });
  const group = svg(
    "g",
    { class: node ? "is-node" : "is-end", "data-node": node, "data-box": name },
    svg("title", {}, name),
    svg("rect", { class: "box", x, y, width: w, height: h, rx: 9 }),
    sign,
    svg("text", { class: "box-name", x: x + 38, y: y + h / 2 - 4 }, fit(name, w - 46, 7.4)),
    more,
  );
  return { group, say: sayer(group, sign, 18, (texts) => setText(more, fit(fitting(texts, w - 44), w - 44, 6.6))) };
}

/** The longest form only where every number has room for it, so that neighbours read alike. */
function fitting(texts, width) {
  const letters = width / 6.6;
  return texts.find((text, i) => text.length <= letters && (i > 0 || texts.length < 3 || letters >= 18)) ?? texts.at(-1);
}

function cell({ x, y, w, h }, id, name) {
  const sign = svg("g", { class: "box-icon", transform: `translate(${x + 5} ${y + h / 2 - 6})` });
  const title = svg("title");
  const group = svg(
    "g",
    { class: "is-node", "data-node": id, "data-box": id },
    title,
    svg("rect", { class: "box", x, y, width: w, height: h, rx: 6 }),
    sign,
    svg("text", { class: "cell-name", x: x + 20, y: y + h / 2 + 4 }, name),
  );
  return { group, say: sayer(group, sign, 12, ([text]) => setText(title, `${id}: ${text}`)) };
}

function sayer(group, sign, size, write) {
  return (state, shape, texts) => {
    setAttr(group, "data-state", state);
    if (sign.dataset.shape !== shape) {
      sign.dataset.shape = shape;
      sign.replaceChildren(icon(shape, { width: size, height: size }));
    }
    write(texts);
  };
}

function describe(nodes, proxies, clients, stale) {
  const states = ORDER.map((state) => [state, nodes.filter((node) => shownState(node) === state).map((node) => node.id)]);
  const told = states.filter(([, ids]) => ids.length).map(([state, ids]) => `${names(ids, 4)}: ${word(state).toLowerCase()}`);
  return `${plural(clients, "client connection")} through ${plural(proxies.length, "proxy", "proxies")} to ${plural(nodes.length, "node")}. ${told.join(". ")}. Redis ${stale ? "does not answer" : "answers"}.`;
}

function commonPrefix(ids) {
  if (ids.length < 2) return "";
  let end = 0;
  while (ids.every((id) => id.length > end + 1 && id[end] === ids[0][end])) end += 1;
  // Never into a number: gateway-1 and gateway-12 share "gateway-".
  return ids[0].slice(0, end).replace(/\d+$/, "");
}

function fit(text, width, perLetter) {
  const most = Math.max(3, Math.floor(width / perLetter));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function showRow(id) {
  const row = byId(`node-${id}`);
  if (!row) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  row.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  row.classList.add("is-found");
  setTimeout(() => row.classList.remove("is-found"), 2500);
}
