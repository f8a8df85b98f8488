/** The transport that worked last, kept in localStorage for the next page. */
const key = (url: string): string => "comet:" + url;

/** The remembered transport; nothing where storage is forbidden. */
export function recallTransport(url: string): string | null | undefined {
  try {
    return localStorage.getItem(key(url));
  } catch {
    // private windows, sandboxed frames
  }
}

export function rememberTransport(url: string, name: string): void {
  try {
    localStorage.setItem(key(url), name);
  } catch {
    // private windows, sandboxed frames, full storage
  }
}
