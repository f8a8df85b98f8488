import type { Wire } from "./wire.js";

/** Where a tab, or a connection, stands in each of its channels; "" is "from now on", "0" the oldest that is kept. */
export type Positions = Map<string, string>;

/** The number of a message in its channel: the part of a position before the dash. */
const offset = (seq: string): number => parseInt(seq);
const tag = (seq: string): number => +(seq.split("-")[1] || 0);

/** Whether the place `a` lies before the place `b`; "" is before nothing. */
export const isBefore = (a = "", b = ""): boolean => offset(a) < offset(b);

/** Whether `a` is `b` or a later place in its log. Tags grow with the offsets, but not from one log to another. */
export const follows = (a: string, b: string): boolean => a === b || (isBefore(b, a) && tag(b) < tag(a));

/**
 * Take an object's position, and say whether the object is news.
 *
 * A message is not if it was seen, or if it came before the channel's welcome: it is for another tab. So is a reset
 * to the place where we stand.
 */
export function accept(positions: Positions, { type, id = "", seq }: Wire): boolean {
  const last = positions.get(id);
  if (type === "welcome") {
    if (!last || last === "0") positions.set(id, seq || "0");
  } else if (seq) {
    if (type === "reset" ? seq === last : !isBefore(last, seq)) return false;
    positions.set(id, seq);
  }
  return true;
}
