/** Milliseconds to wait after so many tries: full jitter under a limit that doubles, so that a crowd does not come back together. */
export const backoff = (tries: number): number => Math.random() * Math.min(30_000, 500 * 2 ** tries);
