// The page: the published SDK does the connection, the subscription and everything that a lost connection would need.
// What is left is to show messages in their order, who is here, and to say a message until it is acknowledged.
import { People } from "./people.js";
import { Messages } from "./messages.js";
import { Outbox } from "./outbox.js";

const at = (id) => document.getElementById(id);

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    throw new Error("The chat's back end does not answer. Is examples/chat/run.sh running?");
  }
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error), { status: answer.status });
  return said;
}

function state(kind, text) {
  at("state").dataset.state = kind;
  at("state-text").textContent = text;
}

// Each tab has an affinity key of its own, so that two tabs need not share a node.
function key() {
  const kept = sessionStorage.getItem("session") ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  sessionStorage.setItem("session", kept);
  return kept;
}

async function join({ token, user, channel, port }) {
  const messages = new Messages(at("messages"), at("scroller"), user);
  const people = new People(at("people-list"), at("people-count"), user);
  // First what was before, and then the subscription from exactly there: what comes in between is recovered.
  const before = await ask("/history");
  messages.fill(before.publications);

  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const centrifuge = new Centrifuge(`${scheme}://${location.hostname}:${port}/connection/websocket?session=${key()}`, {
    token,
    getToken: async () => {
      try {
        return (await ask("/token", {})).token;
      } catch (error) {
        if (error.status === 401) throw new Centrifuge.UnauthorizedError("nobody has entered");
        throw error;
      }
    },
  });
  centrifuge.on("connecting", () => state("wait", "Connecting …"));
  centrifuge.on("connected", () => state("on", "Connected"));
  centrifuge.on("disconnected", ({ reason }) => state("bad", `Disconnected: ${reason}`));

  const lobby = centrifuge.newSubscription(channel, {
    joinLeave: true, since: { offset: before.offset ?? 0, epoch: before.epoch ?? "" },
  });
  lobby.on("publication", (publication) => messages.add(publication));
  lobby.on("join", ({ info }) => people.add(info));
  lobby.on("leave", ({ info }) => people.remove(info));
  lobby.on("subscribed", async ({ wasRecovering, recovered }) => {
    // Too much was missed, or the stream is a new one: what is kept is all there is.
    if (wasRecovering && !recovered) messages.startAnew((await ask("/history")).publications);
    people.replace((await lobby.presence()).clients);
  });
  lobby.on("unsubscribed", ({ reason }) => state("bad", `Not in the channel: ${reason}`));

  const outbox = new Outbox((message) => lobby.publish(message), (text) => (at("waiting").textContent = text));
  at("writing").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value.trim();
    if (text) outbox.add({ text, id: crypto.getRandomValues(new Uint32Array(2)).join("-") });
    at("text").value = "";
  });

  at("entry").hidden = true;
  at("room").hidden = at("people-button").hidden = false;
  messages.toEnd();
  at("text").focus();
  lobby.subscribe();
  centrifuge.connect();
}

at("people-button").addEventListener("click", () => {
  at("people-button").ariaExpanded = String(at("people").classList.toggle("open"));
});

at("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [button, fault] = [event.target.querySelector("button"), event.target.querySelector(".fault")];
  button.disabled = true;
  fault.textContent = "";
  try {
    await join(await ask("/enter", { name: at("name").value }));
  } catch (error) {
    fault.textContent = error.message;
  }
  button.disabled = false;
});

// Who has entered before, in this browser, is still the same.
try {
  await join(await ask("/token", {}));
} catch (error) {
  at("entry").hidden = false;
  if (error.status !== 401) at("entry").querySelector(".fault").textContent = error.message;
  at("name").focus();
}
at("chat").removeAttribute("aria-busy");
