import type { Held, Line, Why, Wire } from "../wire.js";

export interface Answer {
  seq: string;
  messages: Wire[];
}

/** Asks once; `stop` gives up. The promise is rejected with the reason, or with anything for "cannot be seen". */
export interface Ask {
  answer: Promise<Answer>;
  stop(): void;
}

const BREATH = 500; // milliseconds between two answers that say nothing, should a server not hold us

const pause = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

/** Poll for ever. The first poll is answered at once, which shows that polls get through; a change asks anew. */
export function polling(line: Line, ask: (line: Line, extra: string) => Ask): Held {
  let round = 0;
  let current: Ask | undefined;
  const run = async (mine: number): Promise<void> => {
    for (let first = true; mine === round; first = false) {
      const began = Date.now();
      current = ask(line, first ? "&timeout=0" : "");
      const { seq, messages } = await current.answer;
      if (mine !== round) return;
      line.beat();
      line.receive(first ? [...welcomes(line.asked, seq, messages), ...messages] : messages);
      if (!first && !messages.length && Date.now() - began < BREATH) await pause(BREATH);
    }
  };
  const start = (): void => {
    const mine = ++round;
    current?.stop();
    run(mine).catch((why?: Why) => mine === round && line.end(why && "status" in why ? why : {}));
  };
  const close = (): void => {
    round++;
    current?.stop();
  };
  start();
  return { send: start, close };
}

/** A poll has no welcome: its position is one. Where messages came, each brings its own. */
function welcomes(ids: string[], cursor: string, messages: Wire[]): Wire[] {
  const seqs = cursor.split(",");
  return ids.map((id, index) => ({
    type: "welcome",
    id,
    seq: messages.some((message) => message.id === id) ? "" : seqs[index],
  }));
}
