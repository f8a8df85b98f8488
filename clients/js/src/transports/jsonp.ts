import type { Transport } from "../wire.js";
import { polling, type Answer, type Ask } from "./polling.js";

const scope = globalThis as unknown as Record<string, unknown>;
let calls = 0;

/** Long-poll by script tags: the seed's transport across domains, where nothing else is let through. */
export const jsonp: Transport = (line) =>
  polling(line, (line, extra): Ask => {
    const name = "comet_" + Math.random().toString(36).slice(2) + calls++;
    const script = document.createElement("script");
    const stop = (): void => {
      script.remove();
      scope[name] = () => delete scope[name]; // a script that is under way calls it all the same
    };
    const answer = new Promise<Answer>((resolve, reject) => {
      scope[name] = (value: Answer) => {
        script.remove();
        delete scope[name];
        resolve(value);
      };
      script.onerror = () => {
        script.remove();
        delete scope[name];
        reject({});
      };
    });
    script.src = line.url("/jsonp", extra + "&callback=" + name);
    document.head.append(script);
    return { answer, stop };
  });
