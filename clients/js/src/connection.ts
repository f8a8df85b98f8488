/** Keeps one connection alive: chooses transport and edge, waits and tries again, and goes on from the positions. */
import { backoff } from "./backoff.js";
import { Link, type LinkOwner } from "./link.js";
import { recallTransport, rememberTransport } from "./memory.js";
import { follows, type Positions } from "./positions.js";
import { hasEnded, renewalDelay } from "./token.js";
import { TRANSPORTS } from "./transports/index.js";
import type { Options, State } from "./types.js";
import type { EndReason, PageEvent, ServerObject, Sink, Source, TransportName } from "./wire.js";

const enum Milliseconds {
  Steady = 1000, // a connection that lasted this long was a good one
  RetryChannel = 1000, // at least, before a channel that cannot be had now is asked for again
  ProbeSoon = 1000, // before the transport that worked last is tried beside the one that works now
  Probe = 60_000, // before better transports are tried, unless the options say otherwise
  MaxProbe = 3_600_000,
  TokenTimeout = 30_000,
}

const enum Max {
  Channels = 128, // of one connection
}

export class Connection implements Source, LinkOwner {
  wanted: Positions = new Map();
  needHistory = new Set<string>();
  token?: string;
  private _transports: TransportName[];
  /** One transport for each round of tries since the last success: the one that is known to work comes first. */
  private _order: TransportName[];
  /** Failed tries since the last success. */
  private _failures = 0;
  private _link?: Link;
  /** The link of a better transport that is tried while `_link` serves. */
  private _candidate?: Link;
  private _retryTimer?: ReturnType<typeof setTimeout>;
  private _probeTimer?: ReturnType<typeof setTimeout>;
  private _probeDelay: number;
  private _renewalTimer?: ReturnType<typeof setTimeout>;
  private _edge = 0;
  /** How many pauses were made since a connection was steady. */
  private _pauses = 0;
  private _tokenIsStale: boolean;
  /** No connection is made until `getToken` has answered. */
  private _awaitsToken?: boolean;
  private _closed?: boolean;

  constructor(
    private _urls: string[],
    readonly options: Options,
    private _sink: Sink,
  ) {
    const { token, probe, transports } = options;
    this._transports = transports || (Object.keys(TRANSPORTS) as TransportName[]);
    const remembered = recallTransport(_urls[0]!) as TransportName;
    this._order = [...new Set([remembered, ...this._transports])].filter((name) => this._transports.includes(name));
    this.token = token;
    this._tokenIsStale = !token || hasEnded(token);
    this._probeDelay = probe || Milliseconds.Probe;
    this._scheduleRenewal();
  }

  addChannel(id: string, since = ""): void {
    const position = this.wanted.get(id);
    // A tab with a position is served if the connection stands there or before. A tab without one is, unless it wants the
    // history of a channel that has begun.
    const isServed = position !== undefined && (since ? follows(since, position) : !(this.options.history && position));
    if (isServed) {
      // Its welcome: the channel begins for it where the connection stands.
      if (position && this._link?.isFollowing(id)) this._sink.receive([{ type: "welcome", id, seq: position }]);
      return;
    }
    if (position === undefined && this.wanted.size >= Max.Channels)
      return this._reportError("too many channels", 400, id);
    if (since || !position) this.wanted.set(id, since);
    else this.needHistory.add(id);
    this._link?.restartChannel(id);
    this._candidate?.restartChannel(id);
    this._onChannelsChanged();
  }

  removeChannel(id: string): void {
    this.needHistory.delete(id);
    if (this.wanted.delete(id)) this._onChannelsChanged();
  }

  onPageEvent(event: PageEvent): void {
    const link = this._link;
    this._failures = 0;
    if (event === "offline") link?.ping();
    else if (event === "visibilitychange" && link) link.checkSilence();
    else if (event !== "online" || !link?.ping()) {
      this._disconnect();
      this._connect();
    }
  }

  close(): void {
    this._closed = true;
    clearTimeout(this._renewalTimer);
    this._disconnect();
  }

  // What links report.

  linkOpened(link: Link): void {
    const { transportName } = link;
    if (link === this._candidate) {
      this._link?.close();
      this._link = link;
      this._candidate = undefined;
    }
    // The transport that worked last may have failed only because nothing worked: it is tried again soon.
    const delay = transportName === this._order[0] ? this._probeDelay : Milliseconds.ProbeSoon;
    this._order = [transportName, transportName, ...this._transports];
    this._failures = 0;
    rememberTransport(this._urls[0]!, transportName);
    this._setState("open");
    link.updateChannels();
    this._scheduleProbe(delay);
  }

  linkReceived(link: Link, objects: ServerObject[]): void {
    let reason: EndReason | undefined;
    for (const { type, id = "", seq, code, op } of objects) {
      if (seq && this.wanted.has(id)) this.wanted.set(id, seq);
      const isTokenRefused = op === "token" && (code === 401 || code === 403);
      if (code === 401 || isTokenRefused) this._tokenIsStale = true;
      if (isTokenRefused) reason = {};
      // A draining edge spreads the times at which it closes connections. A channel's end closes all its clients at once.
      if (type === "close") reason = { retryNow: !id };
    }
    this._sink.receive(objects);
    if (reason) link.end(reason);
  }

  channelRefused(id: string, code: number): void {
    if (code === 429 || code === 503)
      setTimeout(() => this._link?.updateChannels(), Milliseconds.RetryChannel + this._nextPause());
    else this.removeChannel(id);
  }

  linkEnded(link: Link, { status, content, retryAfter = 0, retryNow }: EndReason): void {
    if (link === this._candidate) {
      this._candidate = undefined;
      this._probe(this._transports.indexOf(link.transportName) + 1);
    }
    if (link !== this._link) return;
    this._link = undefined;
    if (content) this._reportError(content, status);
    // A browser does not tell why a handshake failed, so it may have been the token.
    if (status === 401 || status === 403 || (!status && !link.openedAt)) this._tokenIsStale = true;
    this._edge++;
    if (link.openedAt && Date.now() - link.openedAt > Milliseconds.Steady) this._pauses = 0;
    const atOnce = link.openedAt ? retryNow : this._countFailure();
    this._connectAfter(Math.max(atOnce ? 0 : this._nextPause(), retryAfter));
  }

  // Choosing: in each round of tries, one transport is tried at each edge.

  private _round(): number {
    return (this._failures / this._urls.length) | 0;
  }

  /** Count a failure; true if the next try is at another edge in the same round, or by a transport not tried so far. */
  private _countFailure(): boolean {
    const failed = this._order[this._round()];
    this._failures++;
    const next = this._order[this._round()]; // none after the last round
    return this._failures % this._urls.length > 0 || (!!next && next !== failed);
  }

  private _nextPause(): number {
    return backoff(this._pauses++);
  }

  // Connecting.

  private _connectAfter(delay: number): void {
    if (delay) this._setState("waiting");
    this._retryTimer = setTimeout(() => this._connect(), delay);
  }

  private _connect(): void {
    this._retryTimer = undefined;
    if (this._closed || this._link || this._awaitsToken) return;
    if (!this.wanted.size) this._setState("idle");
    else if (this._tokenIsStale && this.options.getToken) void this._connectWithToken();
    else {
      const transportName = this._order[this._round() % this._order.length]!;
      this._tokenIsStale = false;
      this._link = new Link(this, transportName, this._urls[this._edge % this._urls.length]!);
      this._setState("connecting");
    }
  }

  private async _connectWithToken(): Promise<void> {
    this._awaitsToken = true;
    this._setState("connecting");
    await this._renewToken();
    this._awaitsToken = false;
    if (this._tokenIsStale) this._connectAfter(this._nextPause());
    else this._connect();
  }

  /** Ask the application for a token. If it has none, the old one stays. */
  private async _renewToken(): Promise<void> {
    try {
      this.token = await new Promise((resolve, reject) => {
        setTimeout(reject, Milliseconds.TokenTimeout, "no token");
        Promise.resolve(this.options.getToken!()).then(resolve, reject);
      });
      this._tokenIsStale = false;
      this._scheduleRenewal();
    } catch (error) {
      if (!this._closed) this._reportError("" + error, 401);
    }
  }

  /** Renew the token before it ends, and hand it over on the connection that is held. */
  private _scheduleRenewal(): void {
    clearTimeout(this._renewalTimer);
    const delay = renewalDelay(this.token);
    if (!delay || this._closed || !this.options.getToken) return;
    this._renewalTimer = setTimeout(async () => {
      if (this._link?.openedAt) {
        await this._renewToken();
        this._link?.updateChannels();
        this._candidate?.updateChannels();
      } else this._tokenIsStale = true;
    }, delay);
  }

  private _disconnect(): void {
    clearTimeout(this._retryTimer);
    this._retryTimer = undefined;
    this._link?.close();
    this._candidate?.close();
    this._link = this._candidate = undefined;
  }

  /** Report a state. The browser's word that it is offline is shown, and not relied on. */
  private _setState(state: State["state"]): void {
    const { transportName, edgeUrl, session } = this._link || ({} as Partial<Link>);
    const isTrying = state !== "idle" && state !== "open";
    if (isTrying && globalThis.navigator?.onLine === false) state = "offline";
    if (!this._closed) this._sink.setState({ state, transport: transportName, url: edgeUrl, session });
  }

  private _reportError(content: string, code?: number, id?: string): void {
    this._sink.receive([{ type: "error", code, content, id }]);
  }

  /** Changes of channels in one turn of the event loop go out together. */
  private _onChannelsChanged(): void {
    queueMicrotask(() => {
      if (this._closed) return;
      if (!this.wanted.size) {
        this._disconnect();
        this._setState("idle");
      } else if (this._link) this._link.updateChannels();
      else if (!this._retryTimer) this._connect();
    });
  }

  // Probing: while a lesser transport serves, the better ones are tried from time to time.

  private _scheduleProbe(delay: number): void {
    clearTimeout(this._probeTimer);
    if (this._link?.transportName === this._transports[0]) return;
    this._probeTimer = setTimeout(() => this._probe(0), delay * (0.5 + Math.random()));
  }

  /** Try the transport of this rank, unless the present one is as good. */
  private _probe(rank: number): void {
    const link = this._link;
    const transportName = this._transports[rank];
    if (!link?.openedAt) return;
    if (!transportName || transportName === link.transportName) {
      this._scheduleProbe(this._probeDelay);
      this._probeDelay = Math.min(this._probeDelay * 2, Milliseconds.MaxProbe);
    } else this._candidate = new Link(this, transportName, link.edgeUrl);
  }
}
