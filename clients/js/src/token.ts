/** What a token says of its own end. It is not verified, and one that cannot be read says nothing. */

const enum Milliseconds {
  Lead = 30_000, // at most, before the token ends
  Least = 5_000, // so that tokens that hardly live do not keep the application busy
  Most = 2 ** 31 - 1, // that a timer takes
}

/** The claims of a JWT that matter here, in seconds since 1970. */
const claimsOf = (token = ""): { exp?: number; iat?: number } => {
  try {
    return JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) || {};
  } catch {
    return {};
  }
};

/** Whether a token has ended, by the clock of this machine, which may be wrong. */
export const hasEnded = (token?: string): boolean => claimsOf(token).exp! * 1000 <= Date.now();

/** Milliseconds after which to renew a token: a random time shortly before its end; 0 if it does not tell its end. */
export const renewalDelay = (token?: string): number => {
  const { exp = 0, iat = 0 } = claimsOf(token);
  const now = Date.now() / 1000;
  // If it has ended already, or is not made yet, the clock is wrong: then only the length of its life counts.
  const left = (exp - (exp > now ? Math.max(now, iat) : iat || exp)) * 1000;
  const lead = Math.min(Milliseconds.Lead, left / 5) * (0.5 + Math.random() / 2);
  return left > 0 ? Math.min(Math.max(left - lead, Milliseconds.Least), Milliseconds.Most) : 0;
};
