import type { ServerObject } from "./wire.js";

/** The position of a tab, or of a connection, in each of its channels; "" is "from now on", "0" the oldest that is kept. */
export type Positions = Map<string, string>;

/** The number of a message in its channel: the part of a position before the dash. */
const offset = (seq: string): number => parseInt(seq);
/** The part of a position after the dash: it tells the log that the number belongs to. */
const tag = (seq: string): number => +(seq.split("-")[1] || 0);

/** Whether position `a` is before position `b`; "" is before nothing. */
export const isBefore = (a = "", b = ""): boolean => offset(a) < offset(b);

/** Whether `a` is `b`, or a later position in the same log. Tags grow with the offsets of one log, but not across logs. */
export const follows = (a: string, b: string): boolean => a === b || (isBefore(b, a) && tag(b) < tag(a));

/**
 * Take the position of an object, and say whether the object is new.
 *
 * A message is not new if its position was passed, or if the channel has had no welcome yet: then it is meant for
 * another tab. A reset to the present position is not new either.
 */
export const accept = (positions: Positions, { type, id = "", seq }: ServerObject): boolean => {
  const last = positions.get(id);
  if (type === "welcome") {
    if (!last || last === "0") positions.set(id, seq || "0");
  } else if (seq) {
    if (type === "reset" ? seq === last : !isBefore(last, seq)) return false;
    positions.set(id, seq);
  }
  return true;
}
