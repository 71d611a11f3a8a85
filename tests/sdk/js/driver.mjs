// One client of the published JavaScript SDK, led by lines of JSON.
//
//   node driver.mjs [--protobuf] [--transport websocket|http_stream|sse] OPTIONS
//
// OPTIONS is JSON: {"url", "tokens", "options"}. A line of the input is a command {"id", "do", ...}; a line of the
// output is either an event of the SDK {"event", ...} or the answer to a command {"id", "result"|"error"}. The end of
// the input ends the program. tests/sdk/javascript.py is the other side.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Centrifuge as JsonCentrifuge, UnauthorizedError as JsonUnauthorized } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge, UnauthorizedError as ProtobufUnauthorized } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { watchClient, watchSubscription } from "./events.mjs";
import { decode, encode, info, publication } from "./payloads.mjs";

const { values, positionals } = parseArgs({
  options: { protobuf: { type: "boolean", default: false }, transport: { type: "string", default: "websocket" } },
  allowPositionals: true,
});
const { protobuf, transport } = values;
const Centrifuge = protobuf ? ProtobufCentrifuge : JsonCentrifuge;
const UnauthorizedError = protobuf ? ProtobufUnauthorized : JsonUnauthorized;

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

// The first token is the client's own, the others are what its callback gives, one after the other; then it is told
// that there is none for it.
function credentials(tokens, what) {
  if (!tokens?.length) return {};
  const [token, ...later] = tokens;
  return {
    token,
    getToken: async () => {
      say({ event: "token", ...what });
      if (later.length === 0) throw new UnauthorizedError("no token left");
      return later.shift();
    },
  };
}

function client({ url, tokens, options }) {
  const common = {
    ...credentials(tokens, {}), ...options, websocket: WebSocket, eventsource: EventSource, fetch, readableStream: ReadableStream,
  };
  if (common.data !== undefined) common.data = encode(common.data, protobuf);
  if (transport === "websocket") return new Centrifuge(url, common);
  const base = new URL(url.replace(/^ws/, "http"));
  const at = (path) => new URL(path + base.search, base).href;
  return new Centrifuge(
    [{ transport, endpoint: at(`/connection/${transport}`) }], { ...common, emulationEndpoint: at("/emulation") });
}

const sdk = client(JSON.parse(positionals[0]));
watchClient(sdk, protobuf, say);

function subscribe({ channel, tokens, options }) {
  let subscription = sdk.getSubscription(channel);
  if (subscription === null) {
    const wishes = { ...credentials(tokens, { channel }), ...options };
    if (wishes.data !== undefined) wishes.data = encode(wishes.data, protobuf);
    subscription = sdk.newSubscription(channel, wishes);
    watchSubscription(subscription, protobuf, say);
  }
  subscription.subscribe();
}

const people = (found) => Object.fromEntries(Object.entries(found).map(([id, one]) => [id, info(one, protobuf)]));

const commands = {
  connect: () => sdk.connect(),
  disconnect: () => sdk.disconnect(),
  set_token: ({ token }) => sdk.setToken(token),
  subscribe,
  unsubscribe: ({ channel }) => sdk.getSubscription(channel).unsubscribe(),
  remove: ({ channel }) => sdk.removeSubscription(sdk.getSubscription(channel)),
  publish: ({ channel, data }) => sdk.publish(channel, encode(data, protobuf)).then(() => ({})),
  send: ({ data }) => sdk.send(encode(data, protobuf)).then(() => ({})),
  rpc: async ({ method, data }) => decode((await sdk.rpc(method, encode(data, protobuf))).data, protobuf),
  presence: async ({ channel }) => ({ clients: people((await sdk.presence(channel)).clients) }),
  presence_stats: async ({ channel }) => {
    const { numClients, numUsers } = await sdk.presenceStats(channel);
    return { num_clients: numClients, num_users: numUsers };
  },
  history: async ({ channel, options }) => {
    const { publications, offset, epoch } = await sdk.history(channel, options);
    return { publications: publications.map((one) => publication(one, protobuf)), offset, epoch };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  // Commands run side by side, as calls of a program would: the SDK puts them in order.
  Promise.resolve()
    .then(() => commands[command.do](command))
    .then((result) => say({ id: command.id, result: result ?? {} }))
    .catch((error) => say({ id: command.id, error: { code: error.code ?? 0, message: String(error.message ?? error) } }));
}
process.exit(0);
