import type { Why } from "../wire.js";

/** Fetch; an answer that is no 200 is thrown as what it says: the server's sentence, and when to come back. */
export async function request(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init);
  if (answer.ok) return answer;
  const { content } = await answer.json().catch(() => ({}));
  throw { status: answer.status, content, after: +answer.headers.get("Retry-After")! * 1000 || 0 } satisfies Why;
}
