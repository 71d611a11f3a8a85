// The time line of events, newest first.

import { arrange, byId, el, icon, setAttr, setText } from "./dom.js";
import { duration, moment } from "./format.js";

// kind of the event -> [icon, state that gives the colour, words after the subject]
const KINDS = {
  joined: ["JOINED", "STARTING", "joined"],
  draining: ["DRAINING", "DRAINING", "is draining"],
  undrained: ["RECOVERED", "UP", "takes sessions again"],
  stopped: ["STOPPED", "STOPPED", "stopped"],
  dead: ["DEAD", "DEAD", "is dead"],
  recovered: ["RECOVERED", "UP", "recovered"],
  suspect: ["SUSPECT", "SUSPECT", "is suspect"],
  linked: ["UP", "UP", "is linked again"],
  forgotten: ["FORGOTTEN", "STOPPED", "was forgotten"],
  moved: ["MOVED", "UP", "gave sessions away"],
  reattached: ["MOVED", "SUSPECT", "had its sessions taken over"],
};

export class EventList {
  #store;
  #list = byId("events");
  #rows = new Map();
  #first = true;

  constructor(store) {
    this.#store = store;
  }

  draw() {
    const rows = new Map();
    for (const event of this.#store.events) {
      // By content, not by number: a restarted dashboard counts anew, and its events are no news.
      const key = `${event.at} ${event.kind} ${event.subject} ${event.by}`;
      rows.set(key, this.#rows.get(key) ?? row(event, !this.#first));
    }
    this.#first = false;
    this.#rows = rows;
    const empty = this.#list.querySelector(".empty") ?? el("li", { class: "empty" }, "Nothing has happened yet.");
    arrange(this.#list, rows.size ? [...rows.values()].map((entry) => entry.item) : [empty]);
    this.age();
  }

  age() {
    const now = this.#store.clock();
    for (const { time, at } of this.#rows.values()) setText(time, now - at < 3600 ? `${duration(now - at)} ago` : moment(at));
  }
}

function row(event, isNew) {
  const [shape, state, words] = KINDS[event.kind] ?? ["JOINED", "NEUTRAL", event.kind];
  const time = el("time", { datetime: new Date(event.at * 1000).toISOString(), title: moment(event.at) });
  const item = el(
    "li",
    { class: "event", "data-state": state, "data-kind": event.kind, "data-subject": event.subject },
    icon(shape),
    el("span", { class: "event-what" }, el("b", {}, event.subject), " ", el("em", {}, words)),
    time,
  );
  const more = [event.detail, event.by && event.by !== event.subject ? `seen by ${event.by}` : ""].filter(Boolean).join(" · ");
  if (more) item.append(el("span", { class: "event-more" }, more));
  if (isNew) setAttr(item, "class", "event is-new");
  return { item, time, at: event.at };
}
