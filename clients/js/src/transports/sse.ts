import type { Transport } from "../wire.js";

/** Server-Sent Events by the browser's own EventSource; `envelope` puts the whole object into each event. */
export const sse: Transport = (link) => {
  const source = new EventSource(link.attachUrl("/sse", "&envelope=1&heartbeat=event"));
  let retryAfter = 0;
  let grace = 240_000; // the page does not see the heartbeats of an older edge, so silence proves less
  const onEvent = ({ type, data }: MessageEvent): void => {
    if (data) {
      retryAfter = 0;
      link.receive([JSON.parse(data)]);
      link.noteActivity(grace);
    } else if (type === "error") {
      link.end({ retryAfter });
    } else {
      grace = 0; // a heartbeat that the page sees
      link.noteActivity();
    }
  };
  // An edge that cannot serve a client accepts it, sends `retry:` with 1 to 5 seconds, which no page sees, and closes.
  source.onopen = () => (retryAfter = 1000 + Math.random() * 4000);
  for (const type of "message welcome reset close heartbeat error".split(" "))
    source.addEventListener(type, onEvent as never);
  return source;
};
