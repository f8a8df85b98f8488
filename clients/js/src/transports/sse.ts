import type { Transport } from "../wire.js";

/** Server-Sent Events by the browser's own EventSource; `envelope` puts the whole object into each event. */
export const sse: Transport = (line) => {
  const source = new EventSource(line.url("/sse", "&envelope=1"));
  const receive = ({ data }: MessageEvent): void => line.receive([JSON.parse(data)]);
  for (const type of ["message", "welcome", "reset", "unsub", "close"]) source.addEventListener(type, receive);
  source.addEventListener("error", (event) => {
    if ("data" in event) receive(event as MessageEvent);
    // While it reconnects by itself it keeps to the server's `retry:`, which it shows to nobody.
    else if (source.readyState || !line.away()) line.end({});
  });
  return { deaf: true, send: (ops) => line.post(ops), close: () => source.close() };
};
