// Whether what the page shows is true now: the sign in the header and the banner.

import { byId, setAttr, setText } from "./dom.js";
import { clock, duration } from "./format.js";

export class Freshness {
  #store;
  #connection = "connecting";
  #since = 0;

  constructor(store) {
    this.#store = store;
  }

  /** The state of the page's own connection: live, polling or lost. */
  connection(state) {
    if (state === "lost" && this.#connection !== "lost") this.#since = Date.now();
    this.#connection = state;
    this.draw();
  }

  draw() {
    const { stale, as_of, problem } = this.#store.freshness;
    const lost = this.#connection === "lost";
    const known = this.#store.freshness.version >= 0;
    const old = (known && stale) || lost;
    document.body.classList.toggle("is-old", old);
    setAttr(byId("link"), "data-link", lost ? "lost" : !known ? "connecting" : stale ? "stale" : "live");
    setText(byId("link-text"), this.#sign(lost, known, stale));
    byId("banner").hidden = !old;
    if (lost) {
      setText(byId("banner-title"), `This page lost the dashboard ${duration((Date.now() - this.#since) / 1000)} ago`);
      setText(byId("banner-text"), known ? "It shows the last it knew, and keeps trying to come back." : "It keeps trying.");
    } else if (old && as_of) {
      setText(byId("banner-title"), `Stale since ${clock(as_of)}, ${duration(this.#store.clock() - as_of)} ago`);
      setText(
        byId("banner-text"),
        `${sentence(problem)} This is the last known state; proxies go on routing by what they know, so clients stay connected.`,
      );
    } else if (old) {
      setText(byId("banner-title"), "No data yet");
      setText(byId("banner-text"), `${sentence(problem)} The page fills by itself as soon as it does.`);
    }
  }

  age() {
    this.draw();
  }

  #sign(lost, known, stale) {
    if (lost) return "Reconnecting";
    if (!known) return "Connecting";
    if (stale) return "Stale";
    return this.#connection === "polling" ? "Live, every 5 s" : "Live";
  }
}

const sentence = (text) => `${text.replace(/\.+$/, "")}.`;
