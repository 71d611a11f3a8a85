// Says changes of state to those who do not see the page.

import { byId, setText } from "./dom.js";
import { names } from "./format.js";
import { shownState, word } from "./states.js";

export class Announcer {
  #said = [];
  #first = true;

  note(changes) {
    if (this.#first) {
      this.#first = changes.length === 0;
      return;
    }
    for (const { id, before, after } of changes) {
      if (before && !after) this.#said.push([id, "forgotten"]);
      else if (!before || shownState(before) !== shownState(after)) this.#said.push([id, word(shownState(after)).toLowerCase()]);
    }
  }

  draw() {
    if (!this.#said.length) return;
    const byWord = group(this.#said);
    const text = [...byWord].map(([state, list]) => `${names(list.map(([id]) => id))}: ${state}`).join(". ");
    this.#said = [];
    setText(byId("announcer"), text);
  }
}

function group(list) {
  const found = new Map();
  for (const entry of list) found.set(entry[1], [...(found.get(entry[1]) ?? []), entry]);
  return found;
}
