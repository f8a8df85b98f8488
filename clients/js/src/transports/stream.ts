import type { Line, Transport } from "../wire.js";
import { request } from "./request.js";

async function read(line: Line, control: AbortController): Promise<void> {
  const reader = (await request(line.url("/stream"), control)).body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (let chunk; !(chunk = await reader.read()).done; ) {
    line.beat();
    const lines = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = lines.pop()!;
    line.receive(lines.filter(Boolean).map((text) => JSON.parse(text)));
  }
  throw {};
}

/** The seed's transport, read by fetch: one JSON object a line, an empty line is a heartbeat. */
export const stream: Transport = (line) => {
  const control = new AbortController();
  read(line, control).catch((why) => line.end(why));
  return { close: () => control.abort() };
};
