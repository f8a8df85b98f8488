import { expect, test } from "vitest";
import { isBefore, Positions } from "../src/positions.js";

const data = (seq?: string) => ({ type: "data", id: "room", seq });

test.each([
  ["9-100", "10-90", true],
  ["10-90", "9-100", false],
  ["5-1", "5-1", false],
  ["", "5-1", false],
  ["5-1", "", false],
  ["0", "1-7", true],
])("%s is before %s: %s", (a, b, expected) => {
  expect(isBefore(a, b)).toBe(expected);
});

test("a message is news once, and in order only", () => {
  const positions = new Positions();
  expect(positions.accept(data("3-103"))).toBe(false); // before its welcome: another tab's
  positions.accept({ type: "welcome", id: "room", seq: "3-103" });
  expect(["3-103", "4-104", "4-104", "2-102", "5-105"].map((seq) => positions.accept(data(seq)))).toEqual([
    false, true, false, false, true,
  ]);
  expect(positions.get("room")).toBe("5-105");
});

test("a message without a position is always news", () => {
  expect(new Positions().accept(data())).toBe(true);
});

test("a reset moves the place, also backwards; one to where we stand is not for us", () => {
  const positions = new Positions();
  positions.set("room", "50-1");
  expect(positions.accept({ type: "reset", id: "room", seq: "50-1" })).toBe(false);
  expect(positions.accept({ type: "reset", id: "room", seq: "2-900" })).toBe(true);
  expect(positions.accept(data("3-901"))).toBe(true);
});

test("another tab's welcome does not move a place that is known", () => {
  const positions = new Positions();
  positions.set("room", "50-1");
  positions.accept({ type: "welcome", id: "room", seq: "20-1" });
  expect(positions.get("room")).toBe("50-1");
});
