import type { Transport } from "../wire.js";
import { polling, type Answer, type Ask } from "./polling.js";

const scope = globalThis as unknown as Record<string, unknown>;

/** Long-poll by script tags: the seed's transport across domains, where nothing else is let through. */
export const jsonp: Transport = (line) => {
  // A browser goes on loading what we have given up, on one of six connections: the session's next poll answers it.
  const session = "comet_session_" + Math.random().toString(36).slice(2);
  let calls = 0;
  return polling(line, (line, extra): Ask => {
    const name = session + calls++;
    const script = document.createElement("script");
    const done = (): boolean => (script.remove(), delete scope[name]);
    const answer = new Promise<Answer>((resolve, reject) => {
      scope[name] = (value: Answer) => done() && resolve(value);
      script.onerror = () => done() && reject({});
    });
    const stop = (): void => {
      script.remove();
      scope[name] = done; // a script that is under way calls it all the same
    };
    script.referrerPolicy = "origin"; // with a list of origins an edge must see whose page this is
    script.src = line.url("/jsonp", extra + "&session=" + session + "&callback=" + name);
    document.head.append(script);
    return { answer, stop };
  });
};
