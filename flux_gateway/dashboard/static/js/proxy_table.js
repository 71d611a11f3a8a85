// The proxies.

import { arrange, byId, el, icon, setAttr, setText } from "./dom.js";
import { bytes, count, duration, movedText, percent } from "./format.js";
import { isGone, pills } from "./states.js";

const LINKS = { up: ["UP", "up"], suspect: ["SUSPECT", "suspect"], down: ["DEAD", "down"] };

export class ProxyTable {
  #store;
  #rows = new Map();

  constructor(store) {
    this.#store = store;
  }

  draw() {
    const proxies = [...this.#store.proxies.values()];
    byId("proxies-empty").hidden = proxies.length > 0;
    setText(byId("proxies-empty"), "No proxy has registered yet.");
    const rows = new Map(proxies.map((proxy) => [proxy.id, this.#rows.get(proxy.id) ?? row(proxy.id)]));
    this.#rows = rows;
    for (const proxy of proxies) show(rows.get(proxy.id), proxy);
    arrange(byId("proxy-rows"), [...rows.values()].map((entry) => entry.line));
    this.age();
  }

  age() {
    const { stale } = this.#store.freshness;
    for (const proxy of this.#store.proxies.values()) {
      const cell = this.#rows.get(proxy.id)?.heartbeat;
      if (cell) setHeartbeat(cell, proxy, this.#store, stale);
    }
  }
}

/** Write the age of a member's heartbeat into its cell. */
export function setHeartbeat(cell, member, store, stale) {
  const age = store.ageOf(member);
  if (stale) setText(cell, "unknown");
  else if (age !== null) setText(cell, `${duration(age)} ago`);
  else if (member.state === "STOPPED") setText(cell, "–");
  else setText(cell, member.heartbeat_at ? `gone ${duration(store.clock() - member.heartbeat_at)}` : "none");
  setAttr(cell, "data-late", !stale && age === null && member.state === "DEAD" ? "" : null);
}

function row(id) {
  const address = el("span", { class: "address" });
  const state = el("div", { class: "pills" });
  const links = el("div", { class: "links" });
  const cell = (label) => el("td", { role: "cell", class: "number", "data-label": label });
  const [connections, moved, cpu, rss, heartbeat] = ["Connections", "Sessions moved", "CPU", "Memory", "Heartbeat"].map(cell);
  heartbeat.classList.add("heartbeat");
  const line = el(
    "tr",
    { role: "row", "data-id": id },
    el("td", { role: "cell", class: "who" }, el("span", { class: "name" }, id), address),
    el("td", { role: "cell", class: "how" }, state),
    connections,
    el("td", { role: "cell", class: "wide", "data-label": "Links to nodes" }, links),
    moved,
    cpu,
    rss,
    heartbeat,
  );
  return { line, address, state, links, connections, moved, cpu, rss, heartbeat, key: "" };
}

function show(entry, proxy) {
  setText(entry.address, `${proxy.host}:${proxy.port}${proxy.version ? ` · ${proxy.version}` : ""}`);
  setText(entry.connections, count(proxy.connections));
  setText(entry.moved, movedText(proxy.moves));
  setText(entry.cpu, `${percent(proxy.cpu)} %`);
  setText(entry.rss, bytes(proxy.rss).join(" "));
  setAttr(entry.line, "class", isGone(proxy) ? "is-gone" : null);
  const counts = Object.keys(LINKS).map((link) => [link, Object.values(proxy.links).filter((is) => is === link).length]);
  const key = `${proxy.state} ${counts}`;
  if (key === entry.key) return;
  entry.key = key;
  entry.state.replaceChildren(...pills(proxy));
  const shown = counts.filter(([, n]) => n);
  entry.links.replaceChildren(
    ...(shown.length
      ? shown.map(([link, n]) => el("span", { "data-state": LINKS[link][0] }, icon(LINKS[link][0]), `${n} ${LINKS[link][1]}`))
      : ["none"]),
  );
}
