import type { Why } from "../wire.js";

/** What an answer that is no 200 says: the server's sentence, and when to come back. */
export async function refusal(answer: Response): Promise<Why> {
  const { content } = await answer.json().catch(() => ({}));
  return { status: answer.status, content, after: Number(answer.headers.get("Retry-After")) * 1000 || 0 };
}
