import type { Transport } from "../wire.js";

/** Server-Sent Events by the browser's own EventSource; `envelope` puts the whole object into each event. */
export const sse: Transport = (line) => {
  const source = new EventSource(line.url("/sse", "&envelope=1&heartbeat=event"));
  let after = 0;
  let trust = 240_000; // an older edge's heartbeats are hidden from us, so that silence proves less
  const hear = ({ type, data }: MessageEvent): void => {
    if (data) {
      after = 0;
      line.receive([JSON.parse(data)]);
      line.beat(trust);
    } else if (type === "error") line.end({ after });
    else line.beat((trust = 0));
  };
  // Who cannot be served is taken all the same, told to come back in 1 to 5 seconds, which is shown to nobody, and left.
  source.onopen = () => (after = 1000 + Math.random() * 4000);
  for (const type of "message welcome reset close heartbeat error".split(" "))
    source.addEventListener(type, hear as never);
  return source;
};
