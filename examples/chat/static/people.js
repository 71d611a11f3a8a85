// Who is here: the channel's presence, kept up to date by join and leave. One person may be here more than once.

export class People {
  #list; #count; #user;
  #clients = new Map();

  constructor(list, count, user) {
    [this.#list, this.#count, this.#user] = [list, count, user];
  }

  replace(clients) {
    this.#clients = new Map(Object.entries(clients));
    this.#show();
  }

  add(info) {
    this.#clients.set(info.client, info);
    this.#show();
  }

  remove(info) {
    this.#clients.delete(info.client);
    this.#show();
  }

  #show() {
    const people = new Map();
    for (const { user, connInfo } of this.#clients.values()) {
      const person = people.get(user) ?? { user, name: connInfo?.name ?? user, tabs: 0 };
      people.set(user, { ...person, tabs: person.tabs + 1 });
    }
    const sorted = [...people.values()].sort((a, b) => a.name.localeCompare(b.name));
    this.#count.textContent = sorted.length;
    this.#list.replaceChildren(...sorted.map((person) => this.#row(person)));
  }

  #row({ user, name, tabs }) {
    const [row, face, text] = ["li", "span", "span"].map((tag) => document.createElement(tag));
    face.className = "face";
    face.ariaHidden = "true";
    face.textContent = [...name][0].toUpperCase();
    face.style.setProperty("--hue", [...user].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 0));
    text.textContent = name;
    const more = document.createElement("small");
    more.textContent = user === this.#user ? " you" : tabs > 1 ? ` × ${tabs}` : "";
    text.append(more);
    row.append(face, text);
    return row;
  }
}
