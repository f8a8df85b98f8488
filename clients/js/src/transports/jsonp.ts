import type { Transport } from "../wire.js";
import { polling, type Answer, type Poll } from "./polling.js";

const scope = globalThis as unknown as Record<string, unknown>;

/** Long-poll by script tags: it crosses origins where nothing else gets through. */
export const jsonp: Transport = (link) => {
  // A browser goes on loading a script that is removed, on one of its six connections to a host, until the server answers
  // it: which the session's next poll makes it do.
  const session = "comet_session_" + Math.random().toString(36).slice(2);
  let calls = 0;
  return polling(link, (link, extra): Poll => {
    const callback = session + calls++;
    const script = document.createElement("script");
    const cleanUp = (): void => {
      script.remove();
      delete scope[callback];
    };
    const answer = new Promise<Answer>((resolve, reject) => {
      scope[callback] = resolve;
      script.onerror = reject;
    }).finally(cleanUp);
    const cancel = (): void => {
      script.remove();
      scope[callback] = cleanUp; // a script that is under way calls it all the same
    };
    script.referrerPolicy = "origin"; // an edge with a list of allowed origins must see the page's
    script.src = link.attachUrl("/jsonp", extra + "&session=" + session + "&callback=" + callback);
    document.head.append(script);
    return { answer, cancel };
  });
};
