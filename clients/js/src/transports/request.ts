import type { EndReason } from "../wire.js";

/** Fetch; an answer that is not a success is thrown as an `EndReason`, with the server's sentence and its Retry-After. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  if (answer.ok) return answer;
  const { content } = await answer.json().catch(() => ({}));
  const seconds = +answer.headers.get("Retry-After")!;
  throw { status: answer.status, content, retryAfter: seconds * 1000 || 0 } satisfies EndReason; // a date counts as 0
}
