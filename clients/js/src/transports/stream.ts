import type { Transport, TransportLink } from "../wire.js";
import { request } from "./request.js";

async function read(link: TransportLink, control: AbortController): Promise<void> {
  const reader = (await request(link.attachUrl("/stream"), control)).body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (let chunk; !(chunk = await reader.read()).done; ) {
    link.noteActivity();
    const lines = (rest + decoder.decode(chunk.value, { stream: true })).split("\n");
    rest = lines.pop()!;
    link.receive(lines.filter(Boolean).map((text) => JSON.parse(text)));
  }
  throw {}; // the server ended the stream
}

/** A stream read by fetch: one JSON object per line; an empty line is a heartbeat. */
export const stream: Transport = (link) => {
  const control = new AbortController();
  read(link, control).catch((reason) => link.end(reason));
  return { close: () => control.abort() };
};
