import type { Transport, TransportName } from "../wire.js";
import { jsonp } from "./jsonp.js";
import { poll } from "./poll.js";
import { sse } from "./sse.js";
import { stream } from "./stream.js";
import { ws } from "./ws.js";

/** All transports, best first. */
export const TRANSPORTS: Record<TransportName, Transport> = { ws, sse, stream, poll, jsonp };

const scope = globalThis as unknown as Record<string, unknown>;
const NEEDS: Record<TransportName, string> = {
  ws: "WebSocket",
  sse: "EventSource",
  stream: "ReadableStream",
  poll: "fetch",
  jsonp: "document",
};

/** Those of the asked-for transports that this browser has. */
export const available = (names?: TransportName[]): TransportName[] =>
  (names || (Object.keys(TRANSPORTS) as TransportName[])).filter((name) => NEEDS[name] in scope);
