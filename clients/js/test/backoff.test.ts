import { afterEach, expect, test, vi } from "vitest";
import { backoff } from "../src/backoff.js";

afterEach(() => {
  vi.restoreAllMocks();
});

test("waits double up to half a minute", () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  expect([0, 1, 2, 3, 4, 5, 6, 7].map(backoff)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("each wait is random between nothing and its limit, so that clients spread out", () => {
  const waits = Array.from({ length: 500 }, () => backoff(1));
  expect(Math.min(...waits)).toBeLessThan(100);
  expect(Math.max(...waits)).toBeGreaterThan(900);
  expect(Math.max(...waits)).toBeLessThanOrEqual(1000);
});
