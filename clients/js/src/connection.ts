/** Keeps one connection alive: chooses transport and edge, waits and tries again, and goes on from the positions. */
import { backoff } from "./backoff.js";
import { Link, type Owner } from "./link.js";
import { memory } from "./memory.js";
import { follows, type Positions } from "./positions.js";
import { TRANSPORTS } from "./transports/index.js";
import type { Options, State } from "./types.js";
import type { Sink, Source, TransportName, Waking, Why, Wire } from "./wire.js";

/** Milliseconds, but for the last. */
const enum Limit {
  Steady = 1000, // a connection that held so long was a good one
  Soon = 1000, // until the transport that worked before is tried beside the one that does now
  Probe = 3_600_000,
  Token = 30_000,
  Channels = 128, // of one connection
}

export class Connection implements Source, Owner {
  places: Positions = new Map();
  recent = new Set<string>();
  token?: string;
  private _names: TransportName[];
  /** One transport for each round of tries since the last success: what is known to work comes first. */
  private _order: TransportName[];
  private _failures = 0;
  private _link?: Link;
  private _better?: Link;
  private _timer?: ReturnType<typeof setTimeout>;
  private _probe?: ReturnType<typeof setTimeout>;
  private _probeDelay: number;
  private _edge = 0;
  private _tries = 0;
  private _stale: boolean;
  private _renewing?: boolean;
  private _closed?: boolean;

  constructor(
    private _urls: string[],
    readonly options: Options,
    private _sink: Sink,
  ) {
    const { token, probe, transports } = options;
    this._names = transports || (Object.keys(TRANSPORTS) as TransportName[]);
    const best = memory(_urls[0]!);
    this._order = [...this._names].sort((a, b) => +(b === best) - +(a === best));
    this.token = token;
    this._stale = !token;
    this._probeDelay = probe || 60_000;
  }

  want(id: string, since = ""): void {
    const now = this.places.get(id);
    if (now !== undefined && (since ? follows(since, now) : !(this.options.history && now))) {
      // Somebody joins who is content with what comes: this is where it begins.
      if (now && this._link?.flows(id)) this._sink.receive([{ type: "welcome", id, seq: now }]);
      return;
    }
    if (now === undefined && this.places.size >= Limit.Channels)
      return this._complain("too many channels", 400, id);
    if (since || !now) this.places.set(id, since);
    else this.recent.add(id);
    this._link?.again(id);
    this._better?.again(id);
    this._change();
  }

  drop(id: string): void {
    this.recent.delete(id);
    if (this.places.delete(id)) this._change();
  }

  wake(why: Waking): void {
    const link = this._link;
    this._failures = 0;
    if (why === "offline") link?.ask();
    else if (why === "visibilitychange" && link) link.check();
    else if (why !== "online" || !link?.ask()) {
      this._hangUp();
      this._connect();
    }
  }

  close(): void {
    this._closed = true;
    this._hangUp();
  }

  // What links tell.

  opened(link: Link): void {
    const { name } = link;
    if (link === this._better) {
      this._link?.close();
      this._link = link;
      this._better = undefined;
    }
    // What worked before may have failed only because nothing worked.
    const delay = name === this._order[0] ? this._probeDelay : Limit.Soon;
    this._order = [name, name, ...this._names];
    this._failures = 0;
    memory(this._urls[0]!, name);
    this._tell("open");
    link.hold();
    this._lookForBetter(delay);
  }

  received(link: Link, objects: Wire[]): void {
    let why: Why | undefined;
    for (const { type, id, seq, code } of objects) {
      if (id && seq && this.places.has(id)) this.places.set(id, seq);
      if (code === 401) this._stale = true;
      // Edges that go away send their clients off one after the other; all clients of a channel are closed at once.
      if (type === "close") why = { polite: !id };
    }
    this._sink.receive(objects);
    if (why) link.end(why);
  }

  refused(id: string, code: number): void {
    if (code === 429 || code === 503) setTimeout(() => this._link?.hold(), Limit.Soon + this._pause());
    else this.drop(id);
  }

  ended(link: Link, { status, content, after = 0, polite }: Why): void {
    if (link === this._better) {
      this._better = undefined;
      this._tryBetter(this._names.indexOf(link.name) + 1);
    }
    if (link !== this._link) return;
    this._link = undefined;
    if (content) this._complain(content, status);
    // A handshake that fails does not tell us why, so it may have been the token.
    if (!link.opened && (!status || status === 401 || status === 403)) this._stale = true;
    this._edge++;
    if (link.opened && Date.now() - link.opened > Limit.Steady) this._tries = 0;
    const again = link.opened ? polite : this._goOn();
    this._wait(Math.max(again ? 0 : this._pause(), after));
  }

  // Choosing: in a round a transport is tried at each edge.

  /** Count a failure; says whether the next try follows at once: at another edge, or by a transport not tried so far. */
  private _goOn(): unknown {
    const round = ++this._failures / this._urls.length;
    const next = this._order[round]; // none within a round, nor after the last
    return round % 1 || (next && next !== this._order[round - 1]);
  }

  private _pause(): number {
    return backoff(this._tries++);
  }

  // Connecting.

  private _wait(delay: number): void {
    if (delay) this._tell("waiting");
    this._timer = setTimeout(() => this._connect(), delay);
  }

  private _connect(): void {
    this._timer = undefined;
    if (this._closed || this._link || this._renewing) return;
    if (!this.places.size) this._tell("idle");
    else if (this._stale && this.options.getToken) void this._renew();
    else {
      const round = (this._failures / this._urls.length) | 0;
      this._stale = false;
      this._link = new Link(this, this._order[round % this._order.length]!, this._urls[this._edge % this._urls.length]!);
      this._tell("connecting");
    }
  }

  private async _renew(): Promise<void> {
    this._renewing = true;
    this._tell("connecting");
    try {
      this.token = await new Promise((done, fail) => {
        setTimeout(fail, Limit.Token, "no token came");
        Promise.resolve(this.options.getToken!()).then(done, fail);
      });
      this._stale = false;
    } catch (error) {
      if (!this._closed) this._complain(String(error), 401);
    }
    this._renewing = false;
    if (this._stale) this._wait(this._pause());
    else this._connect();
  }

  private _hangUp(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._link?.close();
    this._better?.close();
    this._link = this._better = undefined;
  }

  /** What the browser says of the network is a hint, which is shown and not relied on. */
  private _tell(state: State["state"]): void {
    const { name, base, session } = this._link || ({} as Partial<Link>);
    if (/g$/.test(state) && globalThis.navigator?.onLine === false) state = "offline";
    if (!this._closed) this._sink.state({ state, transport: name, url: base, session });
  }

  private _complain(content: string, code?: number, id?: string): void {
    this._sink.receive([{ type: "error", code, content, id }]);
  }

  // Changing channels: what happens in one turn goes out together.

  private _change(): void {
    queueMicrotask(() => {
      if (this._closed) return;
      if (!this.places.size) {
        this._hangUp();
        this._tell("idle");
      } else if (this._link) this._link.hold();
      else if (!this._timer) this._connect();
    });
  }

  // Looking for a better transport while a lesser one serves.

  private _lookForBetter(delay: number): void {
    clearTimeout(this._probe);
    if (this._link?.name === this._names[0]) return;
    this._probe = setTimeout(() => this._tryBetter(0), delay * (0.5 + Math.random()));
  }

  private _tryBetter(rank: number): void {
    const link = this._link;
    const name = this._names[rank];
    if (!link?.opened) return;
    if (!name || name === link.name) {
      this._lookForBetter(this._probeDelay);
      this._probeDelay = Math.min(this._probeDelay * 2, Limit.Probe);
    } else this._better = new Link(this, name, link.base);
  }
}
