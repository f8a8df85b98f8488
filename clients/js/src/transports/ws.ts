import type { Transport } from "../wire.js";

/** WebSocket: one JSON object a frame, changes of channels in the same connection. */
export const ws: Transport = (line) => {
  const socket = new WebSocket(line.url("/ws").replace(/^http/, "ws"));
  const send = (value: unknown): void => socket.send(JSON.stringify(value));
  socket.onmessage = ({ data }) => {
    line.beat();
    line.receive([JSON.parse(data)]);
  };
  socket.onclose = ({ code }) => line.end({ polite: code === 1012 });
  return {
    send,
    ping: () => send({ op: "ping" }),
    close: () => socket.close(),
  };
};
