/** What a token says of its own end. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hasEnded, renewalDelay } from "../src/token.js";
import { jwt } from "./jwt.js";

const NOW = 1_800_000_000; // seconds

beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: NOW * 1000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The first and the last moment of a renewal, in seconds from now. */
function moments(token: string): number[] {
  return [0.999999, 0].map((random) => {
    vi.spyOn(Math, "random").mockReturnValue(random);
    return Math.round(renewalDelay(token) / 100) / 10;
  });
}

test.each([
  ["an hour: within 30 seconds of the end", { exp: NOW + 3600 }, [3570, 3585]],
  ["a minute: after 80 % of its life", { exp: NOW + 60 }, [48, 54]],
  ["a fraction of a second", { exp: NOW + 60.5 }, [48.4, 54.5]],
  ["one that was made long ago", { exp: NOW + 60, iat: NOW - 3000 }, [48, 54]],
  ["two seconds: no sooner than in five", { exp: NOW + 2 }, [5, 5]],
  ["a thousand years: as long as a timer takes", { exp: NOW + 3e10 }, [2147483.6, 2147483.6]],
  ["a clock that is fast: its life from now on", { exp: NOW - 7000, iat: NOW - 7060 }, [48, 54]],
  ["a clock that is slow: its life from now on", { exp: NOW + 7060, iat: NOW + 7000 }, [48, 54]],
  ["one that ended, and does not tell its life", { exp: NOW - 1 }, [0, 0]],
  ["one that never lived", { exp: NOW - 1, iat: NOW }, [0, 0]],
  ["one without an end", { sub: "bob" }, [0, 0]],
  ["an end that is no number", { exp: "soon" }, [0, 0]],
  ["no end", { exp: null }, [0, 0]],
  ["a name in other letters", { exp: NOW + 60, sub: "Zoë~~~???\u{1f600}" }, [48, 54]],
] as const)("a token is renewed at the right time: %s", (_, claims, expected) => {
  expect(moments(jwt(claims))).toEqual(expected);
});

test("an end beyond all numbers takes a timer's longest time", () => {
  expect(moments(`x.${btoa(`{"exp":1e400}`)}.x`)).toEqual([2147483.6, 2147483.6]);
});

test.each(["", "opaque", "a.b.c", "..", `x.${btoa("null")}.x`, `x.${btoa("7")}.x`, `x.${btoa("[")}.x`, `x.${btoa("[1]")}`])(
  "%j says nothing",
  (token) => {
    expect([renewalDelay(token), hasEnded(token)]).toEqual([0, false]);
  },
);

test("no token says nothing", () => {
  expect([renewalDelay(), hasEnded()]).toEqual([0, false]);
});

test.each([
  [NOW + 1, false],
  [NOW, true],
  [NOW - 1, true],
])("a token of %d has ended: %s", (exp, ended) => {
  expect(hasEnded(jwt({ exp }))).toBe(ended);
});
