// Composition root of the page.

import { Announcer } from "./announcer.js";
import { Controls } from "./controls.js";
import { EventList } from "./events.js";
import { Freshness } from "./freshness.js";
import { NodeTable } from "./node_table.js";
import { ProxyTable } from "./proxy_table.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { Summary } from "./summary.js";
import { Topology } from "./topology.js";
import { byId } from "./dom.js";

const store = new Store();
const controls = new Controls(store);
const freshness = new Freshness(store);
const parts = [
  new Summary(store),
  new Topology(store),
  new NodeTable(store, controls),
  new ProxyTable(store),
  new EventList(store),
  new Announcer(store),
  freshness,
];

let drawing = 0;
store.listen((changes) => {
  for (const part of parts) part.note?.(changes);
  // Several messages in a row are one drawing. A timer, not a frame: a page in the background must stay right, too.
  drawing ||= setTimeout(() => {
    drawing = 0;
    for (const part of parts) part.draw();
    byId("main").removeAttribute("aria-busy");
  });
});
controls.listen(() => parts.forEach((part) => part.draw()));
setInterval(() => parts.forEach((part) => part.age?.()), 1000);

controls.load();
new Stream(store, (state) => freshness.connection(state)).start();
