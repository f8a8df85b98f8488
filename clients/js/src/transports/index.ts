import type { Transport, TransportName } from "../wire.js";
import { jsonp } from "./jsonp.js";
import { poll } from "./poll.js";
import { sse } from "./sse.js";
import { stream } from "./stream.js";
import { ws } from "./ws.js";

/** All transports, best first. One that a browser does not have throws at once, or fails. */
export const TRANSPORTS: Record<TransportName, Transport> = { ws, sse, stream, poll, jsonp };
