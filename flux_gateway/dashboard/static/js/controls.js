// What an operator may do: unlock with the admin token, drain, undrain.

import { byId, el, setAttr, setText } from "./dom.js";
import { isGone } from "./states.js";

const PATIENCE = 10_000; // ms to wait for the new state before the button comes back

export class Controls {
  #store;
  #session = { csrf: "", controls: "absent" };
  #pending = new Map();
  #listeners = [];
  #toast = 0;

  constructor(store) {
    this.#store = store;
    byId("unlock-form").addEventListener("submit", (event) => this.#unlock(event));
    byId("unlock-cancel").addEventListener("click", () => byId("unlock").close());
  }

  get unlocked() {
    return this.#session.controls === "unlocked";
  }

  listen(listener) {
    this.#listeners.push(listener);
  }

  /** Ask the server what this session may do. */
  async load() {
    try {
      this.#set(await (await fetch("/api/session", { cache: "no-store" })).json());
    } catch {
      this.#set(this.#session); // the stream says that the dashboard is away
    }
  }

  button(id) {
    const button = el("button", { type: "button", class: "button" });
    button.addEventListener("click", () => {
      if (button.ariaDisabled !== "true") this.#act(id, button.dataset.action);
    });
    return button;
  }

  /** Make a node's button fit its state. */
  show(button, node) {
    const pending = this.#pending.get(node.id);
    if (pending && (pending.from !== node.state || Date.now() > pending.until)) this.#pending.delete(node.id);
    const busy = this.#pending.has(node.id);
    const action = node.state === "DRAINING" ? "undrain" : "drain";
    button.dataset.action = action;
    button.hidden = isGone(node);
    // Not `disabled`: that would take the focus away from whoever has just pressed it.
    setAttr(button, "aria-disabled", busy || (node.state !== "UP" && node.state !== "DRAINING") ? "true" : null);
    setText(button, busy ? (action === "drain" ? "Draining…" : "Undraining…") : action === "drain" ? "Drain" : "Undrain");
    setAttr(button, "aria-label", `${action === "drain" ? "Drain" : "Undrain"} ${node.id}`);
  }

  #set(session) {
    this.#session = session;
    const place = byId("session");
    const button = (text, act) => {
      const made = el("button", { type: "button", class: "button" }, text);
      made.addEventListener("click", act);
      return made;
    };
    const focused = place.contains(document.activeElement);
    if (session.controls === "absent") place.replaceChildren(el("span", { title: "The dashboard was started without an admin token" }, "Read-only"));
    if (session.controls === "locked") place.replaceChildren(el("span", {}, "Read-only"), button("Unlock", () => this.#ask()));
    if (session.controls === "unlocked") place.replaceChildren(button("Lock", () => this.#lock()));
    if (focused) place.querySelector("button")?.focus();
    for (const listener of this.#listeners) listener();
  }

  #ask() {
    setText(byId("unlock-error"), "");
    byId("token").value = "";
    byId("unlock").showModal();
  }

  async #unlock(event) {
    event.preventDefault();
    const { ok, body } = await this.#post("/api/unlock", { token: byId("token").value });
    if (!ok) {
      setText(byId("unlock-error"), body.error);
      byId("token").select();
      return;
    }
    byId("token").value = "";
    byId("unlock").close();
    this.#set(body);
  }

  async #lock() {
    const { ok, body } = await this.#post("/api/lock");
    if (ok) this.#set(body);
    else this.#say(body.error);
  }

  async #act(id, action) {
    const others = [...this.#store.nodes.values()].some((node) => node.state === "UP" && node.id !== id);
    if (action === "drain" && !others && !(await confirmLast(id))) return;
    this.#pending.set(id, { from: this.#store.nodes.get(id)?.state, until: Date.now() + PATIENCE });
    this.#redraw();
    const { ok, status, body } = await this.#post(`/api/nodes/${encodeURIComponent(id)}/${action}`);
    if (!ok) {
      this.#pending.delete(id);
      this.#say(body.error);
      if (status === 401) await this.load(); // the session ran out
    }
    this.#redraw();
  }

  async #post(path, content = {}) {
    const send = () =>
      fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRF-Token": this.#session.csrf },
        body: JSON.stringify(content),
      });
    try {
      let answer = await send();
      if (answer.status === 403) {
        // A dashboard that was restarted without a token file knows no old sessions: once more with a new one.
        const before = this.#session.csrf;
        await this.load();
        if (this.#session.csrf !== before) answer = await send();
      }
      return { ok: answer.ok, status: answer.status, body: await answer.json() };
    } catch {
      return { ok: false, status: 0, body: { error: "The dashboard does not answer." } };
    }
  }

  #redraw() {
    for (const listener of this.#listeners) listener();
  }

  #say(text) {
    const toast = byId("toast");
    clearTimeout(this.#toast);
    toast.dataset.kind = "error";
    toast.hidden = false;
    setText(toast, text);
    this.#toast = setTimeout(() => (toast.hidden = true), 8000);
  }
}

function confirmLast(id) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), `Drain the last node that is up?`);
  setText(byId("confirm-text"), `No other node can take the sessions of ${id}: its clients will be told to reconnect, and find nobody.`);
  setText(byId("confirm-yes"), `Drain ${id}`);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
