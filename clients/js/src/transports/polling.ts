import type { EndReason, HeldConnection, ServerObject, TransportLink } from "../wire.js";

const MIN_POLL = 500; // milliseconds; a server that answers at once with nothing is not asked more often

export interface Answer {
  seq: string;
  messages: ServerObject[];
}

/** One poll. The promise is rejected with an `EndReason`, or with any object where the browser shows none. */
export interface Poll {
  answer: Promise<Answer>;
  cancel(): void;
}

/** Poll until closed. The first poll is answered at once, which proves that polls get through; a change polls anew. */
export function polling(link: TransportLink, send: (link: TransportLink, extra: string) => Poll): HeldConnection {
  let currentRun = 0;
  let poll: Poll | undefined;
  const run = async (thisRun: number): Promise<void> => {
    for (let first = true; thisRun === currentRun; first = false) {
      const began = Date.now();
      poll = send(link, first ? "&timeout=0" : "");
      const { seq, messages } = await poll.answer;
      if (thisRun !== currentRun) return;
      link.noteActivity();
      link.receive(first ? [...welcomes(link.requested, seq, messages), ...messages] : messages);
      await null; // so that the next poll asks for channels that a listener has just subscribed to
      if (!first && !messages.length && Date.now() - began < MIN_POLL)
        await new Promise((done) => setTimeout(done, MIN_POLL));
    }
  };
  const close = (): void => {
    poll?.cancel();
    currentRun++;
  };
  const start = (): void => {
    close();
    const thisRun = currentRun;
    run(thisRun).catch((reason: EndReason) => {
      if (thisRun === currentRun) link.end(reason);
    });
  };
  start();
  return { changeChannels: start, close };
}

/** A poll has no welcomes: they are made from the positions where the poll began. */
function welcomes(requested: Map<string, string>, cursor: string, messages: ServerObject[]): ServerObject[] {
  const seqs = cursor.split(",");
  return [...requested].map(([id, since], index) => {
    const first = messages.find((message) => message.id === id && message.seq);
    const beforeFirst = first && (since || parseInt(first.seq!) - 1 + "-0");
    return { type: "welcome", id, seq: beforeFirst || seqs[index] };
  });
}
