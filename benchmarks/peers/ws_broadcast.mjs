// The other messaging server in Node: the example "Server broadcast" of the `ws` library's own documentation.
// Usage: node ws_broadcast.mjs HOST PORT PACKAGE_JSON, the last one of a folder where `ws` is installed.
import { createRequire } from "node:module";

const [host, port, manifest] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = createRequire(manifest)("ws");

const server = new WebSocketServer({ host, port: Number(port), backlog: 4096, perMessageDeflate: false });
const subscribers = new Set();

server.on("connection", (socket, request) => {
  socket.on("error", (error) => console.error(error));
  if (request.url.startsWith("/publish")) {
    socket.on("message", (data) => {
      const text = data.toString();
      for (const subscriber of subscribers) {
        if (subscriber.readyState === WebSocket.OPEN) subscriber.send(text);
      }
    });
  } else {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
  }
});
