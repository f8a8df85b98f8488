/** Milliseconds to wait after `tries` failures: random under a limit that doubles, so that clients spread out. */
export const backoff = (tries: number): number => Math.random() * Math.min(30_000, 500 * 2 ** tries);
