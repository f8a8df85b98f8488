// The requests of the page to the publisher, with the key if one is needed.

const KEY = "comet.key";

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const rememberKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

/** An answer that is not a success; `message` is a sentence for a person. */
export class RequestFailed extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key === null ? {} : { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed(0, "The publisher does not answer.");
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new RequestFailed(answer.status, body.content ?? `The publisher answered ${answer.status}.`);
  }
  return answer;
}

const withChannel = (path, channel) => `${path}?${new URLSearchParams({ id: channel })}`;

// The values of fields that an edge of another version does not announce.
const DEFAULTS = { id: "?", host: "", version: "?", build: "", uptime: 0, ready: false, draining: false, channels: 0, connections: {}, busiest: [] };
const NO_RATES = { delivered: 0, opened: 0 };

/** The last announcement of every edge. */
export async function readEdges() {
  const { edges, unreadable = [] } = await (await request("/admin/edges")).json();
  const complete = edges.map((edge) => ({ ...DEFAULTS, ...edge, rates: { ...NO_RATES, ...edge.rates } }));
  return { edges: complete, unreadable };
}

/** How many subscribers a channel has. */
export const readChannel = async (channel) => (await request(withChannel("/info", channel))).json();

/** End a channel's connections. */
export const closeChannel = async (channel) => (await request(withChannel("/close", channel), { method: "POST" })).json();

/** Publish one message. */
export async function publish(message) {
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ ...message, receipt: true });
  return (await request("/pub", { method: "POST", headers, body })).json();
}

/** Follow a channel's log until `signal` aborts it; each entry goes to `onEntry`. */
export async function follow(channel, signal, onEntry) {
  const answer = await request(withChannel("/admin/tail", channel), { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (event.startsWith("data: ")) onEntry(JSON.parse(event.slice("data: ".length)));
    }
  }
}
