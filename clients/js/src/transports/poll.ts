import type { Transport } from "../wire.js";
import { polling, type Poll } from "./polling.js";
import { request } from "./request.js";

/** Long-poll by fetch. */
export const poll: Transport = (link) =>
  polling(link, (link, extra): Poll => {
    const control = new AbortController();
    const answer = request(link.attachUrl("/poll", extra), control).then((answer) => answer.json());
    return { answer, cancel: () => control.abort() };
  });
