/** Which transport worked last, kept for the next page; a browser that keeps nothing is asked in vain, not in error. */
export function memory(url: string, transport?: string): string | null | void {
  try {
    const key = "comet:" + url;
    return transport ? localStorage.setItem(key, transport) : localStorage.getItem(key);
  } catch {
    // private windows, sandboxed frames, full storage
  }
}
