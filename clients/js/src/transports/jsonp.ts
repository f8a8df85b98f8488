import type { Transport } from "../wire.js";
import { polling, type Answer, type Ask } from "./polling.js";

const scope = globalThis as unknown as Record<string, unknown>;

/** Long-poll by script tags: the seed's transport across domains, where nothing else is let through. */
export const jsonp: Transport = (line) =>
  polling(line, (line, extra): Ask => {
    const name = "comet_" + Math.random().toString(36).slice(2);
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
    script.src = line.url("/jsonp", extra + "&callback=" + name);
    document.head.append(script);
    return { answer, stop };
  });
