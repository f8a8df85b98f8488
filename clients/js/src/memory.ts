/** Which transport worked last, kept for the next page; a browser that keeps nothing is asked in vain, not in error. */
const key = (url: string): string => "comet:" + url;

export function recall(url: string): string | null {
  try {
    return localStorage.getItem(key(url));
  } catch {
    return null;
  }
}

export function remember(url: string, transport: string): void {
  try {
    localStorage.setItem(key(url), transport);
  } catch {
    // private windows, sandboxed frames, full storage
  }
}
