import { expect, test } from "vitest";
import { Backoff } from "../src/backoff.js";

test("waits double up to the limit, and begin anew after a success", () => {
  const backoff = new Backoff(100, 1000, () => 1);
  expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
  backoff.reset();
  expect(backoff.next()).toBe(100);
});

test("each wait is anything from nothing to its limit, so that a crowd spreads out", () => {
  const waits = Array.from({ length: 500 }, () => new Backoff(1000).next());
  expect(Math.min(...waits)).toBeLessThan(100);
  expect(Math.max(...waits)).toBeGreaterThan(900);
  expect(Math.max(...waits)).toBeLessThanOrEqual(1000);
});
