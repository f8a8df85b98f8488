/** Keeps one connection alive: chooses transport and edge, waits and tries again, and goes on from the positions. */
import { Backoff } from "./backoff.js";
import { Link, type Owner } from "./link.js";
import { recall, remember } from "./memory.js";
import { isBefore } from "./positions.js";
import { available } from "./transports/index.js";
import type { Options, State } from "./types.js";
import type { Sink, Source, TransportName, Why, Wire } from "./wire.js";

const STEADY = 1000; // milliseconds; a connection that held so long was a good one
const FAITH = 3; // rounds that a transport which has worked here may fail before another is tried
const LONGEST_PROBE = 3_600_000;

export class Connection implements Source, Owner {
  positions = new Map<string, string>();
  readonly history?: number;
  readonly timeout: number;
  private _names: TransportName[];
  private _link?: Link;
  private _better?: Link;
  /** Channels that are held and must begin again at an earlier place. */
  private _rewound = new Map<string, string>();
  private _timer?: ReturnType<typeof setTimeout>;
  private _probe?: ReturnType<typeof setTimeout>;
  private _probeDelay: number;
  private _edge = 0;
  private _failures = 0;
  private _tried = new Set<TransportName>();
  private _preferred?: TransportName;
  private _proven?: TransportName;
  private _backoff = new Backoff();
  private _token?: string;
  private _stale: boolean;
  private _queued = false;
  private _closed = false;

  constructor(
    private _urls: string[],
    private _options: Options,
    private _sink: Sink,
  ) {
    this._names = available(_options.transports);
    this._preferred = this._names.find((name) => name === recall(_urls[0]!));
    this._token = _options.token;
    this._stale = !_options.token;
    this.history = _options.history;
    this.timeout = _options.timeout || 5000;
    this._probeDelay = _options.probe || 60_000;
    globalThis.addEventListener?.("online", this._online);
    globalThis.addEventListener?.("offline", this._offline);
  }

  want(id: string, since: string): void {
    const now = this.positions.get(id);
    if (now !== undefined) {
      const later = since ? isBefore(since, now) || (since === "0" && now !== "0") : !!this.history && !!now;
      if (!later) {
        // Somebody joins who is content with what comes: this is where it begins.
        if (now && this._link?.opened) this._sink.receive([{ type: "welcome", id, seq: now }]);
        return;
      }
    }
    if (now !== undefined || this._link?.asked.includes(id)) this._rewound.set(id, since);
    this.positions.set(id, since);
    this._change();
  }

  drop(id: string): void {
    this._rewound.delete(id);
    if (this.positions.delete(id)) this._change();
  }

  reconnect(): void {
    this._hangUp();
    this._connect();
  }

  wake(): void {
    if (this._timer) this._connect();
    else this._link?.check();
  }

  close(): void {
    this._closed = true;
    this._hangUp();
    globalThis.removeEventListener?.("online", this._online);
    globalThis.removeEventListener?.("offline", this._offline);
  }

  // What links ask and tell.

  query(): string {
    const { history } = this;
    return (this._token ? "&token=" + encodeURIComponent(this._token) : "") + (history ? "&history=" + history : "");
  }

  lost(): void {
    this._tell("connecting");
  }

  opened(link: Link): void {
    if (link === this._better) {
      this._link?.close();
      this._link = link;
      this._better = undefined;
    }
    this._proven = this._preferred = link.name;
    this._tried.clear();
    this._failures = 0;
    remember(this._urls[0]!, link.name);
    this._tell("open");
    this._hold();
    this._lookForBetter();
  }

  received(link: Link, objects: Wire[]): void {
    for (const { type, id, seq, code } of objects) {
      if (id && this.positions.has(id)) {
        const from = this._rewound.get(id);
        // The welcome of a place we have left already is not the one we wait for.
        if (type === "reset" || (type === "welcome" && (!isBefore("0", from || "") || from === seq))) this._rewound.delete(id);
        if (seq && !this._rewound.has(id)) this.positions.set(id, seq);
      }
      if (code === 401) this._stale = true;
    }
    this._sink.receive(objects);
    if (objects.some(({ type }) => type === "close")) link.end({ polite: true });
  }

  ended(link: Link, why: Why): void {
    if (link === this._better) {
      this._better = undefined;
      this._tryBetter(this._names.indexOf(link.name) + 1);
    }
    if (link !== this._link) return;
    this._link = undefined;
    if (why.content) this._sink.receive([{ type: "error", code: why.status, content: why.content }]);
    // A handshake that fails does not tell us why, so it may have been the token.
    if (!link.opened && (!why.status || why.status === 401 || why.status === 403)) this._stale = true;
    this._edge++;
    const delay = link.opened ? this._afterLoss(link, why) : this._afterFailure(link.name);
    this._wait(Math.max(delay, why.after || 0));
  }

  private _afterLoss(link: Link, why: Why): number {
    if (Date.now() - link.opened > STEADY) this._backoff.reset();
    return why.polite ? 0 : this._backoff.next();
  }

  /** Each transport gets one try at each edge; one that has worked before gets some more, with pauses. */
  private _afterFailure(name: TransportName): number {
    const edges = this._urls.length;
    const proven = name === this._proven;
    if (++this._failures % edges) return 0;
    if (this._failures >= edges * (proven ? FAITH : 1)) {
      this._failures = 0;
      this._tried.add(name);
      if (proven) this._proven = undefined;
    }
    const over = this._tried.size >= this._names.length;
    if (over) this._tried.clear();
    return over || proven ? this._backoff.next() : 0;
  }

  // Connecting.

  private _wait(delay: number): void {
    clearTimeout(this._timer);
    if (delay) this._tell("waiting");
    this._timer = setTimeout(() => this._connect(), delay);
  }

  private _connect(): void {
    clearTimeout(this._timer);
    this._timer = undefined;
    if (this._closed || this._link) return;
    if (!this.positions.size) return this._tell("idle");
    if (globalThis.navigator?.onLine === false) return this._tell("offline");
    this._renew()
      .then(() => this._begin())
      .catch((error) => {
        this._sink.receive([{ type: "error", code: 401, content: String(error) }]);
        this._wait(this._backoff.next());
      });
  }

  private async _renew(): Promise<void> {
    const { getToken } = this._options;
    if (getToken && this._stale) {
      this._tell("connecting");
      this._token = await getToken();
    }
    this._stale = false;
  }

  private _begin(): void {
    if (this._closed || this._link || !this.positions.size) return;
    const untried = this._names.filter((name) => !this._tried.has(name));
    const name = untried.find((each) => each === this._preferred) || untried[0];
    if (!name) throw "no transport that this browser has is allowed";
    this._link = new Link(this, name, this._urls[this._edge % this._urls.length]!, this._urls.length < 2);
    this._rewound.clear();
    this._tell("connecting");
  }

  private _hangUp(): void {
    clearTimeout(this._timer);
    clearTimeout(this._probe);
    this._timer = undefined;
    this._link?.close();
    this._better?.close();
    this._link = this._better = undefined;
  }

  private _tell(state: State["state"]): void {
    const link = this._link;
    this._sink.state({ state, transport: link?.name, url: link?.base, session: link?.session });
  }

  private _online = (): void => this.reconnect();

  private _offline = (): void => {
    this._hangUp();
    this._tell("offline");
  };

  // Changing channels: what happens in one turn goes out together.

  private _change(): void {
    if (this._queued) return;
    this._queued = true;
    queueMicrotask(() => {
      this._queued = false;
      if (this._closed) return;
      if (!this.positions.size) {
        this._hangUp();
        this._tell("idle");
      } else if (this._link && !this._link.opened && this._rewound.size) this.reconnect();
      else if (this._link) this._hold();
      else if (!this._timer) this._connect();
    });
  }

  private _hold(): void {
    if (!this._link?.opened) return;
    this._link.hold(this._rewound.keys());
  }

  // Looking for a better transport while a lesser one serves.

  private _lookForBetter(): void {
    clearTimeout(this._probe);
    if (this._link!.name === this._names[0]) return;
    this._probe = setTimeout(() => this._tryBetter(0), this._probeDelay * (0.5 + Math.random()));
  }

  private _tryBetter(rank: number): void {
    const link = this._link;
    const name = this._names[rank];
    if (!link?.opened || !name || name === link.name) {
      this._probeDelay = Math.min(this._probeDelay * 2, LONGEST_PROBE);
      if (link?.opened) this._lookForBetter();
      return;
    }
    this._better = new Link(this, name, link.base, false);
  }
}
