import type { Transport } from "../wire.js";
import { polling, type Ask } from "./polling.js";
import { request } from "./request.js";

/** Long-poll by fetch. */
export const poll: Transport = (line) =>
  polling(line, (line, extra): Ask => {
    const control = new AbortController();
    const answer = request(line.url("/poll", extra), control).then((answer) => answer.json());
    return { answer, stop: () => control.abort() };
  });
