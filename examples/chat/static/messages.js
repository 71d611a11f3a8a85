// The messages, in the order of their offsets. A message of a client has the client's info, which the cluster adds and
// nobody can forge; one without is from the back end.

export class Messages {
  #list; #scroller; #user;
  #ids = new Set();
  #last = "";

  constructor(list, scroller, user) {
    [this.#list, this.#scroller, this.#user] = [list, scroller, user];
  }

  fill(publications) {
    for (const { data, info, offset } of publications) {
      this.add({ data, offset, info: info && { user: info.user, connInfo: info.conn_info } });
    }
  }

  startAnew(publications) {
    this.#list.replaceChildren();
    this.#ids.clear();
    this.#last = "";
    this.#append("note", "", "Some messages were missed; these are the ones that are kept.");
    this.fill(publications);
  }

  add({ data, info, offset }) {
    // A message that got no answer is sent again, and then may come twice.
    if (data?.id !== undefined) {
      const id = `${info?.user} ${data.id}`;
      if (this.#ids.has(id)) return;
      this.#ids.add(id);
    }
    const mine = info?.user === this.#user;
    const kind = info ? (mine ? "mine" : "other") : "server";
    const item = this.#append(kind, info?.user ?? "", String(data?.text ?? ""), info?.connInfo?.name ?? "server");
    item.dataset.offset = offset;
    if (mine) this.toEnd();
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #append(kind, speaker, text, name = "") {
    const nearEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop - this.#scroller.clientHeight < 80;
    const item = document.createElement("li");
    item.className = kind;
    item.classList.toggle("again", speaker !== "" && speaker === this.#last);
    this.#last = speaker;
    for (const [part, value] of [["who", kind === "mine" ? "You" : name], ["bubble", text]]) {
      const element = document.createElement("span");
      element.className = part;
      element.textContent = value;
      if (value) item.append(element);
    }
    this.#list.append(item);
    if (nearEnd) this.toEnd();
    return item;
  }
}
