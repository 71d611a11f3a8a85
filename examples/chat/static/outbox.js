// Messages on their way: one at a time, so that they keep their order, and each until it is acknowledged. A node that
// dies takes the answers with it that it owed; the SDK reports that after five seconds, and the message goes out again
// with the same id.

const PAUSE = 1000; // ms before an attempt after a failed one

export class Outbox {
  #publish; #say;
  #messages = [];
  #busy = false;

  constructor(publish, say) {
    [this.#publish, this.#say] = [publish, say];
  }

  add(message) {
    this.#messages.push(message);
    this.#work();
  }

  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#messages.length > 0) {
      try {
        await this.#publish(this.#messages[0]);
        this.#say("");
        this.#messages.shift();
      } catch (error) {
        if (this.#forGood(error)) {
          this.#say(`Not sent: ${error.message}`);
          this.#messages.shift();
        } else {
          this.#say(this.#messages.length > 1 ? `Sending ${this.#messages.length} messages …` : "Sending …");
          await new Promise((resolve) => setTimeout(resolve, PAUSE));
        }
      }
    }
    this.#busy = false;
  }

  // The server's errors are from 100 on, and some pass; what is below is the SDK's own, such as a timeout.
  #forGood({ code, temporary }) {
    return code >= 100 && !temporary;
  }
}
