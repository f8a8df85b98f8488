import type { Transport } from "../wire.js";

const SERVICE_RESTART = 1012; // the close code of an edge that drains

/** WebSocket: one JSON object per frame; channels change on the same connection. */
export const ws: Transport = (link) => {
  const socket = new WebSocket(link.attachUrl("/ws").replace(/^http/, "ws"));
  const send = (value: unknown): void => socket.send(JSON.stringify(value));
  socket.onmessage = ({ data }) => link.receive([JSON.parse(data)]);
  socket.onclose = ({ code }) => link.end({ retryNow: code === SERVICE_RESTART });
  return {
    changeChannels: send,
    ping: () => send({ op: "ping" }),
    close: () => socket.close(),
  };
};
