// The live connection: server-sent events; when the server has no stream to spare, polling.

const SILENCE = 12_000; // ms; the server ticks every 5 s
const HIDDEN = 60_000; // ms after which a page nobody sees gives its stream back
const POLL = 5_000;

export class Stream {
  #store;
  #onState;
  #source = null;
  #watch = 0;
  #hide = 0;
  #poll = 0;
  #opened = false;
  #pastless = false; // the page has a view without the past, which only the server can fill

  /** `onState` is called with live, polling or lost. */
  constructor(store, onState) {
    this.#store = store;
    this.#onState = onState;
    document.addEventListener("visibilitychange", () => this.#seen(!document.hidden));
  }

  /** Read everything once, with the past, then go live. */
  async start() {
    await this.#load();
    this.#open();
  }

  async #load() {
    try {
      const answer = await fetch("/api/cluster", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const view = await answer.json();
      this.#store.replace(view);
      // A dashboard that has only just started knows nobody, and nobody's past.
      this.#pastless = !view.as_of;
      return true;
    } catch {
      this.#onState("lost");
      return false;
    }
  }

  #open() {
    this.#source?.close();
    clearTimeout(this.#poll);
    const source = (this.#source = new EventSource("/api/events"));
    const on = (name, take) =>
      source.addEventListener(name, (message) => {
        take(JSON.parse(message.data));
        this.#onState("live");
        this.#listen();
      });
    on("cluster", (view) => {
      this.#store.replace(view);
      // After a break the past has a hole.
      this.#pastless ||= this.#opened;
      this.#opened = true;
      this.#fill(view);
    });
    on("update", (view) => {
      this.#store.update(view);
      this.#fill(view);
    });
    on("tick", (view) => this.#store.tick(view));
    source.onerror = () => {
      // CONNECTING: the browser comes back by itself. CLOSED: the server refused, so there are too many pages.
      if (source.readyState === EventSource.CLOSED) this.#fallBack();
      else this.#onState("lost");
    };
    this.#listen();
  }

  #fill(view) {
    if (!this.#pastless || !view.as_of) return;
    this.#pastless = false;
    this.#load();
  }

  #listen() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.#onState("lost");
      this.#open();
    }, SILENCE);
  }

  async #fallBack() {
    clearTimeout(this.#watch);
    if (await this.#load()) this.#onState("polling");
    this.#opened = false;
    this.#poll = setTimeout(() => this.#open(), POLL);
  }

  #seen(visible) {
    clearTimeout(this.#hide);
    if (!visible) {
      this.#hide = setTimeout(() => {
        this.#source?.close();
        this.#source = null;
        clearTimeout(this.#watch);
        clearTimeout(this.#poll);
      }, HIDDEN);
    } else if (!this.#source) {
      this.#open();
    }
  }
}
