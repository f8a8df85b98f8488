import { expect, test } from "vitest";
import { accept, follows, isBefore, type Positions } from "../src/positions.js";

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

test.each([
  ["5-105", "5-105", true],
  ["7-107", "5-105", true],
  ["5-105", "7-107", false],
  ["50-105", "3-903", false], // of another log: its tags are older although its offset is larger
  ["5-106", "5-105", false],
  ["0", "3-103", false],
  ["3-103", "", false],
])("%s is, or follows, %s: %s", (a, b, expected) => {
  expect(follows(a, b)).toBe(expected);
});

test("a message is new once, and only in order", () => {
  const positions: Positions = new Map();
  expect(accept(positions, data("3-103"))).toBe(false); // before the welcome: it is another tab's
  accept(positions, { type: "welcome", id: "room", seq: "3-103" });
  expect(["3-103", "4-104", "4-104", "2-102", "5-105"].map((seq) => accept(positions, data(seq)))).toEqual([
    false, true, false, false, true,
  ]);
  expect(positions.get("room")).toBe("5-105");
});

test("a message without a position is always new", () => {
  expect(accept(new Map(), data())).toBe(true);
});

test("a reset moves the position, also backwards; one to the present position is not new", () => {
  const positions: Positions = new Map([["room", "50-1"]]);
  expect(accept(positions, { type: "reset", id: "room", seq: "50-1" })).toBe(false);
  expect(accept(positions, { type: "reset", id: "room", seq: "2-900" })).toBe(true);
  expect(accept(positions, data("3-901"))).toBe(true);
});

test("another tab's welcome does not move a known position", () => {
  const positions: Positions = new Map([["room", "50-1"]]);
  accept(positions, { type: "welcome", id: "room", seq: "20-1" });
  expect(positions.get("room")).toBe("50-1");
});
