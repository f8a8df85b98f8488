import type { Wire } from "./wire.js";

/** The number of a message in its channel: the part of a position before the dash. */
const offset = (seq: string): number => parseInt(seq, 10);

/** Whether the place `a` lies before the place `b`; "" is "from now on", so before nothing. */
export const isBefore = (a: string, b: string): boolean => a !== "" && b !== "" && offset(a) < offset(b);

/** Where one tab stands in each of its channels. */
export class Positions {
  private _seen = new Map<string, string>();

  get(id: string): string {
    return this._seen.get(id) || "";
  }

  set(id: string, seq: string): void {
    this._seen.set(id, seq);
  }

  forget(id: string): void {
    this._seen.delete(id);
  }

  /**
   * Take an object's position, and say whether the object is news.
   *
   * A message is not if it was seen, or if it came before the channel's welcome: it is for another tab. So is a reset
   * to the place where we stand.
   */
  accept({ type, id = "", seq }: Wire): boolean {
    const last = this.get(id);
    if (type === "welcome") {
      if (!last || last === "0") this.set(id, seq || "0");
      return true;
    }
    if (!seq) return true;
    if (type === "reset" ? seq === last : !isBefore(last, seq)) return false;
    this.set(id, seq);
    return true;
  }
}
