// What the page knows: messages of the server go in, a merged picture comes out.

import { History } from "./history.js";

const natural = new Intl.Collator("en", { numeric: true });

export class Store {
  nodes = new Map();
  proxies = new Map();
  events = [];
  histories = new Map();
  freshness = { version: -1, stale: true, problem: "", as_of: 0, now: 0 };
  #offset = 0;
  #listeners = [];

  /** Seconds of the server's clock, so that ages are right on a device whose own clock is not. */
  clock() {
    return Date.now() / 1000 + this.#offset;
  }

  /** Call `listener(changes)` after each message; `changes` is a list of {id, kind, before, after}. */
  listen(listener) {
    this.#listeners.push(listener);
  }

  /** Take a whole view; with `history` in its nodes it also replaces the past. */
  replace(view) {
    const known = new Set([...view.nodes, ...view.proxies].map((member) => member.id));
    const gone = [...this.nodes.keys(), ...this.proxies.keys()].filter((id) => !known.has(id));
    // Another dashboard process numbers the events anew.
    this.events = [];
    this.#take(view, gone);
  }

  /** Take what changed. */
  update(view) {
    this.#take(view, view.gone);
  }

  /** Take a sign of life. */
  tick(view) {
    this.#take({ nodes: [], proxies: [], events: [], ...view }, []);
  }

  history(id) {
    let found = this.histories.get(id);
    if (!found) this.histories.set(id, (found = new History()));
    return found;
  }

  ageOf(member) {
    return member.seen_at === null ? null : Math.max(0, this.clock() - member.seen_at);
  }

  #take(view, gone) {
    this.#offset = view.now - Date.now() / 1000;
    const { version, stale, problem, as_of, now } = view;
    this.freshness = { version, stale, problem, as_of, now };
    const changes = [];
    for (const [kind, members] of [["node", this.nodes], ["proxy", this.proxies]]) {
      for (const id of gone) {
        const before = members.get(id);
        if (members.delete(id)) changes.push({ id, kind, before, after: null });
        if (before) this.histories.delete(id);
      }
      for (const { history, ...member } of kind === "node" ? view.nodes : view.proxies) {
        const before = members.get(member.id) ?? null;
        member.seen_at = member.heartbeat_age === null ? null : now - member.heartbeat_age;
        members.set(member.id, member);
        if (history) this.history(member.id).fill(history);
        else if (kind === "node" && member.state !== "DEAD") this.history(member.id).append(member);
        changes.push({ id: member.id, kind, before, after: member });
      }
    }
    if (changes.some((change) => !change.before)) {
      this.nodes = new Map([...this.nodes].sort(([a], [b]) => natural.compare(a, b)));
      this.proxies = new Map([...this.proxies].sort(([a], [b]) => natural.compare(a, b)));
    }
    const newest = this.events[0]?.number ?? 0;
    this.events = [...view.events.filter((event) => event.number > newest), ...this.events].slice(0, 200);
    for (const listener of this.#listeners) listener(changes);
  }
}
