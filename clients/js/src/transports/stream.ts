import type { Line, Transport } from "../wire.js";
import { refusal } from "./request.js";

async function read(line: Line, signal: AbortSignal): Promise<void> {
  const answer = await fetch(line.url("/stream"), { signal });
  if (!answer.ok) return line.end(await refusal(answer));
  const reader = answer.body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (let chunk; !(chunk = await reader.read()).done; ) {
    line.beat();
    const lines = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = lines.pop()!;
    line.receive(lines.filter(Boolean).map((text) => JSON.parse(text)));
  }
  line.end({});
}

/** The seed's transport, read by fetch: one JSON object a line, an empty line is a heartbeat. */
export const stream: Transport = (line) => {
  const control = new AbortController();
  read(line, control.signal).catch(() => line.end({}));
  return { send: (ops) => line.post(ops), close: () => control.abort() };
};
