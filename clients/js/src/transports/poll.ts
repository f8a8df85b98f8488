import type { Transport } from "../wire.js";
import { polling, type Ask } from "./polling.js";
import { refusal } from "./request.js";

/** Long-poll by fetch. */
export const poll: Transport = (line) =>
  polling(line, (line, extra): Ask => {
    const control = new AbortController();
    const get = async () => {
      const answer = await fetch(line.url("/poll", extra), { signal: control.signal });
      if (!answer.ok) throw await refusal(answer);
      return answer.json();
    };
    return { answer: get(), stop: () => control.abort() };
  });
