import type { Held, Line, Why, Wire } from "../wire.js";

export interface Answer {
  seq: string;
  messages: Wire[];
}

/** Asks once; `stop` gives up. The promise is rejected with the reason, or with any object for "cannot be seen". */
export interface Ask {
  answer: Promise<Answer>;
  stop(): void;
}

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
      await null; // for the channels that a listener has just taken
      if (!first && !messages.length && Date.now() - began < 500) // should a server not hold us
        await new Promise((done) => setTimeout(done, 500));
    }
  };
  const stop = (): number => (current?.stop(), ++round);
  const start = (): void => {
    const mine = stop();
    run(mine).catch((why: Why) => mine === round && line.end(why));
  };
  start();
  return { send: start, close: stop };
}

/** A poll has no welcome: the place where it began is one. */
function welcomes(asked: Map<string, string>, cursor: string, messages: Wire[]): Wire[] {
  const seqs = cursor.split(",");
  return [...asked].map(([id, since], index) => {
    const first = messages.find((message) => message.id === id && message.seq);
    return { type: "welcome", id, seq: first ? since || parseInt(first.seq!) - 1 + "-0" : seqs[index] };
  });
}
