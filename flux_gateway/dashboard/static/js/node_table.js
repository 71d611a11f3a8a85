// The nodes: a row each, with figures, sparklines and the drain button.

import { arrange, byId, el, setAttr, setText } from "./dom.js";
import { bytes, count, percent, rate } from "./format.js";
import { setHeartbeat } from "./proxy_table.js";
import { sparkline } from "./sparkline.js";
import { ORDER, isGone, pills, shownState } from "./states.js";

const METRICS = [
  { name: "connections", label: "Connections", least: 5, show: (node) => [count(node.connections), ""] },
  { name: "rate", label: "Messages", least: 5, show: (node) => [rate(node.messages_in + node.messages_out), "/s"] },
  { name: "cpu", label: "CPU", least: 20, show: (node) => [percent(node.cpu), "%"] },
  { name: "rss", label: "Memory", least: 2 ** 20, show: (node) => bytes(node.rss) },
];
const MANY = 24;
const TOOLS_FROM = 7;

const SORTS = {
  id: () => 0,
  state: (a, b) => ORDER.indexOf(shownState(a)) - ORDER.indexOf(shownState(b)),
  rate: (a, b) => b.messages_in + b.messages_out - a.messages_in - a.messages_out,
  share: (a, b) => (b.slots_share ?? 0) - (a.slots_share ?? 0),
};
const descending = (name) => (a, b) => b[name] - a[name];

export class NodeTable {
  #store;
  #controls;
  #rows = new Map();

  constructor(store, controls) {
    this.#store = store;
    this.#controls = controls;
    byId("find").addEventListener("input", () => this.draw());
    byId("sort").addEventListener("change", () => this.draw());
  }

  draw() {
    const nodes = [...this.#store.nodes.values()];
    byId("tools").hidden = nodes.length < TOOLS_FROM;
    byId("nodes").classList.toggle("is-dense", nodes.length > MANY);
    byId("node-table").classList.toggle("no-actions", !this.#controls.unlocked);
    const rows = new Map(nodes.map((node) => [node.id, this.#rows.get(node.id) ?? row(node.id, this.#controls)]));
    this.#rows = rows;
    const most = Math.max(0.01, ...nodes.map((node) => node.slots_share ?? 0));
    for (const node of nodes) this.#show(rows.get(node.id), node, most);
    const wanted = this.#wanted(nodes);
    // A row that moves loses the focus, so the order waits while someone is at a button.
    if (!byId("node-rows").contains(document.activeElement) || wanted.length !== byId("node-rows").children.length) {
      arrange(byId("node-rows"), wanted.map((node) => rows.get(node.id).line));
    }
    const empty = byId("nodes-empty");
    empty.hidden = wanted.length > 0;
    setText(empty, nodes.length ? "No node matches." : "No node has registered yet. Start one, and it appears here by itself.");
    this.age();
  }

  age() {
    const { stale } = this.#store.freshness;
    for (const node of this.#store.nodes.values()) {
      const entry = this.#rows.get(node.id);
      if (entry) setHeartbeat(entry.heartbeat, node, this.#store, stale);
    }
  }

  #wanted(nodes) {
    const words = byId("find").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const text = (node) => `${node.id} ${node.state} ${shownState(node)} ${node.host}:${node.port}`.toLowerCase();
    const found = nodes.filter((node) => words.every((word) => text(node).includes(word)));
    const by = byId("sort").value;
    return found.sort(SORTS[by] ?? descending(by));
  }

  #show(entry, node, most) {
    setText(entry.address, `${node.host}:${node.port}${node.version ? ` · ${node.version}` : ""}`);
    setAttr(entry.line, "class", isGone(node) ? "is-gone" : null);
    const state = `${node.state} ${node.suspected_by}`;
    if (entry.shown !== state) {
      entry.shown = state;
      entry.state.replaceChildren(...pills(node));
      setAttr(entry.line, "data-shown", shownState(node));
    }
    const history = this.#store.history(node.id);
    const now = this.#store.clock();
    const gap = Math.max(16, 3 * history.interval());
    const sampled = `${history.at.at(-1)} ${Math.floor(now / 10)}`;
    for (const [i, metric] of METRICS.entries()) {
      const { value, unit, line } = entry.metrics[i];
      const [number, symbol] = isGone(node) ? ["–", ""] : metric.show(node);
      setText(value, number);
      setText(unit, symbol ? ` ${symbol}` : "");
      // The lines move by a hair in 10 s, so that is how often an unchanged one is drawn.
      if (entry.sampled !== sampled) {
        line.draw(history.at.map((at, k) => [at, history.values[metric.name][k]]), now, { gap, least: metric.least });
      }
    }
    entry.sampled = sampled;
    const share = node.slots_share;
    setText(entry.share, share === null ? "counting" : `${(share * 100).toFixed(1)} %`);
    entry.bar.style.width = `${((share ?? 0) / most) * 100}%`;
    this.#controls.show(entry.button, node);
  }
}

function row(id, controls) {
  const address = el("span", { class: "address" });
  const state = el("div", { class: "pills" });
  const heartbeat = el("td", { role: "cell", class: "number heartbeat", "data-label": "Heartbeat" });
  const share = el("span");
  const bar = el("span");
  const metrics = METRICS.map((metric) => {
    const value = el("span");
    const unit = el("span", { class: "unit" });
    const line = sparkline();
    const box = el("div", { class: "metric-box" }, el("span", { class: "value" }, value, unit), line.drawing);
    return { value, unit, line, cell: el("td", { role: "cell", "data-label": metric.label }, box) };
  });
  const button = controls.button(id);
  const line = el(
    "tr",
    { role: "row", id: `node-${id}`, "data-id": id },
    el("td", { role: "cell", class: "who" }, el("span", { class: "name" }, id), address),
    el("td", { role: "cell", class: "how" }, state),
    ...metrics.map((metric) => metric.cell),
    heartbeat,
    el("td", { role: "cell", class: "slots", "data-label": "Slots" }, el("div", { class: "share" }, el("div", { class: "bar" }, bar), share)),
    el("td", { role: "cell", class: "act" }, button),
  );
  return { line, address, state, heartbeat, share, bar, metrics, button, shown: "", sampled: "" };
}
