/** How long to wait before the next try: full jitter under a limit that doubles, so that a crowd does not come back together. */
export class Backoff {
  private _tries = 0;

  constructor(
    private _base = 500,
    private _most = 30_000,
    private _random = Math.random,
  ) {}

  /** Milliseconds. */
  next(): number {
    return this._random() * Math.min(this._most, this._base * 2 ** this._tries++);
  }

  reset(): void {
    this._tries = 0;
  }
}
