// Every event of the SDK, as one plain object with the names that tests/sdk/client.py documents.
import { decode, info, publication } from "./payloads.mjs";

const coded = ({ code, reason }) => ({ code, reason });

const subscribed = (protobuf) => (context) => ({
  recoverable: context.recoverable,
  positioned: context.positioned,
  was_recovering: context.wasRecovering,
  recovered: context.recovered,
  offset: context.streamPosition?.offset ?? 0,
  epoch: context.streamPosition?.epoch ?? "",
  ...decode(context.data, protobuf),
});

const failed = ({ type, error }) => ({ type, code: error.code, message: error.message });

function channelEvents(protobuf) {
  return {
    subscribed: subscribed(protobuf),
    publication: (context) => publication(context, protobuf),
    join: (context) => ({ info: info(context.info, protobuf) }),
    leave: (context) => ({ info: info(context.info, protobuf) }),
  };
}

export function watchClient(client, protobuf, say) {
  const own = {
    connecting: coded,
    connected: (context) => ({ client: context.client, ...decode(context.data, protobuf) }),
    disconnected: coded,
    message: (context) => decode(context.data, protobuf),
    error: failed,
  };
  for (const [name, fields] of Object.entries(own)) {
    client.on(name, (context) => say({ event: name, ...fields(context) }));
  }
  const serverSide = { subscribing: () => ({}), unsubscribed: () => ({}), ...channelEvents(protobuf) };
  for (const [name, fields] of Object.entries(serverSide)) {
    client.on(name, (context) => say({ event: name, channel: context.channel, server: true, ...fields(context) }));
  }
}

export function watchSubscription(subscription, protobuf, say) {
  const own = { subscribing: coded, unsubscribed: coded, error: failed, ...channelEvents(protobuf) };
  for (const [name, fields] of Object.entries(own)) {
    subscription.on(name, (context) =>
      say({ event: name, channel: subscription.channel, server: false, ...fields(context) }));
  }
}
