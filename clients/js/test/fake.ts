/** A fake cluster, as a client sees one: channels with positions, and edges that hold, refuse and die. */
import type { ServerObject, Operation, TransportName } from "../src/wire.js";
import type { World } from "./suite.js";

interface Entry {
  offset: number;
  content: string;
  event?: string;
}

interface Seat {
  ids: Set<string>;
  tell(objects: ServerObject[]): void;
  cut(code?: number): void;
  edge: Edge;
}

interface Edge {
  url: string;
  alive: boolean;
  blocked: Set<TransportName>;
  /** Accepts WebSockets and sends nothing. */
  mute?: boolean;
  refuse?: () => Response | undefined;
  /** Accepts an EventSource only to tell it to come back later. */
  full?: boolean;
  /** Of the version before: it knows a session in the path only. */
  old?: boolean;
}

const KEPT = 5;

export class FakeCluster implements World {
  edges: Edge[] = ["http://a.test", "http://b.test"].map((url) => ({ url, alive: true, blocked: new Set() }));
  requests: URL[] = [];
  /** The only token that is accepted; "": none is needed. */
  token = "";
  /** The fresh tokens that held connections handed over, each with its session. */
  freshTokens: [session: string, token: string][] = [];
  /** The code with which a fresh token is refused. */
  refuseFreshToken?: number;
  /** Requests by fetch are served when this resolves. */
  served?: Promise<void>;
  /** The refusal of a channel on a held connection; undefined accepts it. */
  refuse?: (id: string) => { code: number; content: string } | undefined;
  private _logs = new Map<string, Entry[]>();
  private _tag = 100;
  private _seats = new Map<string, Seat>();
  private _number = 0;

  get urls(): string[] {
    return this.edges.map(({ url }) => url);
  }

  async publish(id: string, content: string, event?: string): Promise<void> {
    const log = this._log(id);
    const entry = { offset: log.at(-1)!.offset + 1, content, event };
    log.push(entry);
    for (const seat of [...this._seats.values()]) if (seat.ids.has(id)) seat.tell([this._data(id, entry)]);
  }

  async kill(url: string): Promise<void> {
    const edge = this.edges.find((each) => url.startsWith(each.url))!;
    edge.alive = false;
    for (const seat of [...this._seats.values()]) if (seat.edge === edge) seat.cut();
  }

  async revive(): Promise<void> {
    for (const edge of this.edges) edge.alive = true;
  }

  /** Lose everything that was kept; numbers begin anew. */
  async forget(): Promise<void> {
    this._tag += 100;
    const held = [...this._seats.values()].flatMap((seat) => [...seat.ids].map((id) => ({ seat, id })));
    this._logs.clear();
    for (const { seat, id } of held) seat.tell([{ type: "reset", id, seq: this._seq(this._log(id).at(-1)!) }]);
  }

  /** The number of held connections. */
  get held(): number {
    return this._seats.size;
  }

  /** Send a heartbeat to every connection. */
  beat(): void {
    this.tell([{ type: "heartbeat" }]);
  }

  /** Send objects to every connection. */
  tell(objects: ServerObject[]): void {
    for (const seat of this._seats.values()) seat.tell(objects);
  }

  /** End every connection with a WebSocket close code. */
  drain(code: number): void {
    for (const seat of [...this._seats.values()]) seat.cut(code);
  }

  // The edges.

  attach(url: URL, tell: Seat["tell"], cut: Seat["cut"]): string {
    const edge = this._edge(url);
    const ids = url.searchParams.getAll("id");
    const session = `${edge.url.slice(7, 8)}.${++this._number}`;
    this._seats.set(session, { ids: new Set(ids), tell, cut, edge });
    const since = (url.searchParams.get("since") || "").split(",");
    const history = Number(url.searchParams.get("history"));
    const begun = ids.map((id, index) => this.begin(id, (since.length < 2 ? since[0] : since[index]) || "", history));
    tell(begun.flatMap(([welcome]) => ({ ...welcome!, session })).concat(begun.flatMap(([, ...rest]) => rest) as never));
    return session;
  }

  leave(session: string): void {
    this._seats.delete(session);
  }

  /** The welcome of one channel, and what was missed. */
  begin(id: string, since: string, history = 0): ServerObject[] {
    const log = this._log(id);
    const top = log.at(-1)!;
    let from = top;
    if (since === "0") from = log[Math.max(0, log.length - 1 - KEPT)]!;
    else if (since) from = log.slice(-KEPT - 1).find((entry) => this._seq(entry) === since)!;
    else if (history) from = log[Math.max(0, log.length - 1 - history)]!;
    const welcome = { type: "welcome", id, content: "hello world!", seq: this._seq(from || top) };
    if (!from) return [welcome, { type: "reset", id, seq: this._seq(top) }];
    return [welcome, ...log.slice(log.indexOf(from) + 1).map((entry) => this._data(id, entry))];
  }

  change(session: string, ops: Operation[]): void {
    const seat = this._seats.get(session)!;
    for (const { op, id = "", since = "", history, ref, token = "" } of ops) {
      const refusal = op === "sub" && this.refuse?.(id);
      if (op === "ping") seat.tell([{ type: "pong" }]);
      else if (op === "token") {
        this.freshTokens.push([session, token]);
        const code = this.refuseFreshToken;
        seat.tell([code ? { type: "error", op, code, content: "token: it has expired" } : { type: "ack", op }]);
      } else if (op === "unsub") {
        seat.ids.delete(id);
        seat.tell([{ type: "unsub", id }]);
      } else if (refusal) seat.tell([{ type: "error", op, id: id.slice(0, 60), ref, ...refusal }]);
      else {
        const [welcome, ...rest] = this.begin(id, seat.ids.has(id) ? "" : since, seat.ids.has(id) ? 0 : history);
        seat.tell([{ ...welcome!, ref }, ...rest]);
        seat.ids.add(id);
      }
    }
  }

  /** Keep requests by fetch waiting until the returned function is called. */
  hold(): () => void {
    let release = (): void => {};
    this.served = new Promise((done) => (release = done));
    return release;
  }

  /** The edge that a request reaches; throws what `fetch` throws where it reaches none. */
  reach(transport: TransportName, url: URL): Edge {
    this.requests.push(url);
    if (this.token && !url.pathname.startsWith("/sub") && url.searchParams.get("token") !== this.token)
      throw new TypeError("network");
    const edge = this._edge(url);
    if (!edge.alive || edge.blocked.has(transport)) throw new TypeError("network");
    return edge;
  }

  fetch = async (input: string, init: RequestInit = {}): Promise<Response> => {
    await null;
    const url = new URL(input);
    const [, path, inPath] = url.pathname.split("/");
    if (path !== "sub" && this.token && url.searchParams.get("token") !== this.token) {
      this.requests.push(url);
      return Response.json({ type: "error", code: 401, content: "token: it has expired" }, { status: 401 });
    }
    const edge = this.reach(path as TransportName, url);
    const refusal = edge.refuse?.();
    if (refusal) return refusal;
    await this.served;
    init.signal?.throwIfAborted();
    if (path === "sub") {
      if (edge.old && !inPath) return Response.json({ content: "this request must not have a body" }, { status: 413 });
      const session = inPath || new Headers(init.headers).get("Comet-Session");
      if (!this._seats.has(session!)) return new Response("{}", { status: 404 });
      this.change(session!, JSON.parse(init.body as string));
      return new Response("{}");
    }
    return path === "poll" ? Response.json(await this.poll(url, init.signal!)) : this._stream(url, init.signal!);
  };

  /** The answer to a poll, as soon as there is one. */
  poll(url: URL, signal?: AbortSignal): Promise<{ seq: string; messages: ServerObject[] }> {
    return new Promise((resolve, reject) => {
      let session = "";
      const seqs = new Map<string, string>();
      const answer = (messages: ServerObject[]): void => {
        this.leave(session);
        resolve({ seq: [...seqs.values()].join(), messages });
      };
      const tell = (objects: ServerObject[]): void => {
        for (const { id, seq } of objects) if (id && seq) seqs.set(id, seq);
        const messages = objects.filter(({ type }) => type !== "welcome");
        if (messages.length || url.searchParams.get("timeout") === "0") queueMicrotask(() => answer(messages));
      };
      const cut = (): void => {
        this.leave(session);
        reject(new TypeError("network"));
      };
      signal?.addEventListener("abort", cut);
      session = this.attach(url, tell, cut);
    });
  }

  private _stream(url: URL, signal: AbortSignal): Response {
    const text = new TextEncoder();
    let session = "";
    const body = new ReadableStream({
      start: (control) => {
        const cut = (): void => {
          this.leave(session);
          control.error(new TypeError("network"));
        };
        signal.addEventListener("abort", cut);
        const tell = (objects: ServerObject[]): void =>
          control.enqueue(text.encode(objects.map((each) => JSON.stringify(each) + "\n").join("") + "\n"));
        session = this.attach(url, tell, cut);
      },
    });
    return new Response(body);
  }

  private _edge(url: URL): Edge {
    return this.edges.find((each) => each.url === url.origin)!;
  }

  private _log(id: string): Entry[] {
    const log = this._logs.get(id) || [{ offset: 0, content: "" }];
    this._logs.set(id, log);
    return log;
  }

  private _seq(entry: Entry): string {
    return `${entry.offset}-${this._tag + entry.offset}`;
  }

  private _data(id: string, entry: Entry): ServerObject {
    const { content, event } = entry;
    return { type: "data", id, content, seq: this._seq(entry), ...(event ? { event } : {}) };
  }
}
