// The first thing one reads: a sentence, and four totals with their last 15 minutes.

import { byId, el, setText } from "./dom.js";
import { bytes, compact, count, movedText, names, percent, plural, rate, sums } from "./format.js";
import { total } from "./history.js";
import { sparkline } from "./sparkline.js";
import { ORDER, isGone, pill, shownState, word } from "./states.js";

export class Summary {
  #store;
  #tiles;

  constructor(store) {
    this.#store = store;
    this.#tiles = {
      connections: tile("Connections"),
      rate: tile("Messages"),
      cpu: tile("CPU"),
      rss: tile("Memory (RSS)"),
    };
    byId("tiles").append(...Object.values(this.#tiles).map((entry) => entry.box));
  }

  draw() {
    const nodes = [...this.#store.nodes.values()];
    const alive = nodes.filter((node) => !isGone(node));
    this.#verdict(nodes);
    const sum = (name) => alive.reduce((all, node) => all + node[name], 0);
    const tiles = this.#tiles;

    const spread = alive.map((node) => node.connections);
    tiles.connections.say(
      [count(sum("connections"))],
      spread.length ? `${count(Math.min(...spread))} to ${count(Math.max(...spread))} a node` : "",
    );
    const [into, out] = [sum("messages_in"), sum("messages_out")];
    tiles.rate.say([rate(into + out), "/s"], `${compact(into)}/s in, ${compact(out)}/s out`);
    const busiest = alive.reduce((most, node) => (!most || node.cpu > most.cpu ? node : most), null);
    tiles.cpu.say(
      [percent(alive.length ? sum("cpu") / alive.length : 0), "% on average"],
      busiest ? `most: ${percent(busiest.cpu)} % on ${busiest.id}` : "",
    );
    const memory = alive.map((node) => node.rss);
    tiles.rss.say(bytes(sum("rss")), memory.length ? `at most ${bytes(Math.max(...memory)).join(" ")} a node` : "");

    const histories = nodes.map((node) => this.#store.history(node.id));
    const now = this.#store.clock();
    const least = { connections: 5, rate: 5, cpu: 20, rss: 2 ** 20 };
    for (const [name, entry] of Object.entries(tiles)) {
      entry.line.draw(total(histories, name, now), now, { gap: 30, least: least[name] });
    }
  }

  #verdict(nodes) {
    const up = nodes.filter((node) => shownState(node) === "UP").length;
    let text = "No nodes in the registry";
    if (nodes.length === 1 && up) text = "The only node is up";
    else if (nodes.length) text = up === nodes.length ? `All ${plural(up, "node")} up` : `${up} of ${plural(nodes.length, "node")} up`;
    setText(byId("verdict"), text);
    const others = ORDER.filter((state) => state !== "UP").map((state) => [
      state,
      nodes.filter((node) => shownState(node) === state).map((node) => node.id),
    ]);
    const key = JSON.stringify(others);
    const place = byId("exceptions");
    if (place.dataset.key !== key) {
      place.dataset.key = key;
      place.replaceChildren(
        ...others.filter(([, ids]) => ids.length).map(([state, ids]) => pill(state, `${names(ids)} ${word(state).toLowerCase()}`)),
      );
    }
    const proxies = [...this.#store.proxies.values()];
    const routing = proxies.filter((proxy) => !isGone(proxy));
    const lost = proxies.length - routing.length;
    const clients = routing.reduce((all, proxy) => all + proxy.connections, 0);
    setText(
      byId("verdict-more"),
      proxies.length
        ? `${plural(routing.length, "proxy", "proxies")} holding ${plural(clients, "client connection")}` +
            (lost ? `, ${plural(lost, "proxy", "proxies")} gone` : "") +
            `; sessions moved: ${movedText(sums(routing.map((proxy) => proxy.moves)))}`
        : "No proxies in the registry",
    );
    document.title = nodes.length ? `${up}/${nodes.length} up · Flux Gateway` : "Flux Gateway";
  }
}

function tile(name) {
  const value = el("div", { class: "tile-value" });
  const more = el("div", { class: "tile-more" });
  const line = sparkline();
  const box = el("div", { class: "tile" }, el("div", { class: "tile-name" }, name), el("div", {}, value, more), line.drawing);
  const say = ([number, unit = ""], text) => {
    const whole = `${number} ${unit}`.trim();
    if (value.dataset.text !== whole) {
      value.dataset.text = whole;
      value.replaceChildren(number, ...(unit ? [" ", el("small", {}, unit)] : []));
    }
    setText(more, text);
  };
  return { box, line, say };
}
