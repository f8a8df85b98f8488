/** One attempt to hold a connection to one edge by one transport, and that connection while it lasts. */
import { isBefore, type Positions } from "./positions.js";
import { request } from "./transports/request.js";
import { TRANSPORTS } from "./transports/index.js";
import type { Options } from "./types.js";
import type { EndReason, HeldConnection, Operation, ServerObject, TransportLink, TransportName } from "./wire.js";

const enum Milliseconds {
  OpenTimeout = 5_000, // unless the options say otherwise
  CheckInterval = 10_000, // between two checks of the silence
  PingAfter = 20_000, // of silence, on a transport that can ping
  PongTimeout = 5_000,
  SilenceTimeout = 60_000, // two heartbeats of the server, and some
}

const enum Max {
  OperationsPerMessage = 24, // with the longest names they fit into what a server accepts
}

/** What a link belongs to. */
export interface LinkOwner {
  /** The wanted channels, with the positions to go on from. */
  wanted: Positions;
  /** Of these, the ones that begin with their history although their positions are known. */
  needHistory: Set<string>;
  options: Options;
  token?: string;
  linkOpened(link: Link): void;
  linkReceived(link: Link, objects: ServerObject[]): void;
  /** The server refused one channel. */
  channelRefused(id: string, code: number): void;
  linkEnded(link: Link, reason: EndReason): void;
}

let lastRef = 0;

export class Link implements TransportLink {
  /** The channels that the server was asked for, with the positions that were sent. */
  requested = new Map<string, string>();
  /** When the first object came; 0 before. */
  openedAt = 0;
  session?: string;
  /** The token that the server has. */
  private _token?: string;
  /** Whether the edge is of a version that knows the session in the path only. */
  private _postsToPath?: boolean;
  /** Channels whose objects are ignored until the welcome with this `ref`; 0: it has not been asked for yet. */
  private _awaited = new Map<string, number>();
  private _lastPost: Promise<unknown> = Promise.resolve();
  private _held?: HeldConnection;
  private _closed?: boolean;
  private _heardAt = Date.now();
  private _timer: ReturnType<typeof setTimeout>;
  private _pongTimer?: ReturnType<typeof setTimeout>;

  constructor(
    private _owner: LinkOwner,
    readonly transportName: TransportName,
    readonly edgeUrl: string,
  ) {
    this._timer = setTimeout(() => this.end({}), _owner.options.timeout || Milliseconds.OpenTimeout);
    try {
      this._held = TRANSPORTS[transportName](this);
    } catch {
      setTimeout(() => this.end({})); // a browser that forbids it, or does not have it, throws at once
    }
  }

  attachUrl(path: string, extra = ""): string {
    const { wanted, needHistory, token, options } = this._owner;
    this.requested = new Map([...wanted].map(([id, since]) => [id, needHistory.has(id) ? "" : since]));
    this._awaited.clear();
    this._token = token;
    const query = new URLSearchParams([...this.requested.keys()].map((id) => ["id", id]));
    const since = [...this.requested.values()].join();
    if (/\d/.test(since)) query.set("since", since);
    if (token) query.set("token", token);
    if (options.history) query.set("history", options.history as unknown as string);
    return this.edgeUrl + path + "?" + query + extra;
  }

  receive(objects: ServerObject[]): void {
    if (this._closed || !objects.length) return;
    this.noteActivity();
    this.session ||= objects[0]!.session;
    const current = objects.filter((object) => this._isCurrent(object)); // before the owner asks for other channels
    if (!this.openedAt) {
      this.openedAt = Date.now();
      clearTimeout(this._timer);
      this._timer = setInterval(() => this.checkSilence(), Milliseconds.CheckInterval);
      this._owner.linkOpened(this);
    }
    this._owner.linkReceived(this, current);
  }

  noteActivity(grace = 0): void {
    this._heardAt = Date.now() + grace;
    clearTimeout(this._pongTimer);
  }

  end(reason: EndReason): void {
    if (this._closed) return;
    this.close();
    this._owner.linkEnded(this, reason);
  }

  close(): void {
    this._closed = true;
    clearTimeout(this._timer);
    clearTimeout(this._pongTimer);
    this._held?.close();
  }

  /** Whether the messages of a channel arrive, and it is not about to begin anew. */
  isFollowing(id: string): boolean {
    return !!this.openedAt && this.requested.has(id) && !this._awaited.has(id);
  }

  /** Have a channel begin anew at the wanted position; its objects are ignored until then. */
  restartChannel(id: string): void {
    if (this.requested.has(id)) this._awaited.set(id, 0);
  }

  /** Hand over a fresh token, ask for the channels that are wanted and not held, and leave those that are not wanted. */
  updateChannels(): void {
    if (!this.openedAt || this._closed) return;
    const { wanted, token } = this._owner;
    const operations: Operation[] = [];
    const send = this._held!.changeChannels || this._post;
    if (token !== this._token) send([{ op: "token", token: (this._token = token) }]); // a poll begins anew with it
    for (const id of this.requested.keys()) {
      const mustRestart = this._awaited.get(id) === 0;
      if (wanted.has(id) && !mustRestart) continue;
      operations.push({ op: "unsub", id });
      this._forget(id);
    }
    for (const id of wanted.keys()) {
      if (!this.requested.has(id)) operations.push(this._subscribeOperation(id));
    }
    while (operations.length) send(operations.splice(0, Max.OperationsPerMessage));
  }

  /** End a link that has been silent for too long; ping one that has been silent for a while. */
  checkSilence(): void {
    const silence = Date.now() - this._heardAt;
    if (this.openedAt && silence > Milliseconds.SilenceTimeout) this.end({});
    else if (silence >= Milliseconds.PingAfter) this.ping();
  }

  /** Make the server answer soon, or end; false where the transport cannot ping. */
  ping(): boolean {
    const ping = this.openedAt && this._held!.ping;
    if (!ping) return false;
    clearTimeout(this._pongTimer);
    this._pongTimer = setTimeout(() => this.end({}), Milliseconds.PongTimeout);
    ping();
    return true;
  }

  /** Change channels by requests beside the held one: one after the other, so that none overtakes another. */
  private _post = (operations: Operation[]): void => {
    const post = (path: string, headers?: HeadersInit): Promise<Response> =>
      request(this.edgeUrl + path, { method: "POST", headers, body: JSON.stringify(operations) });
    const send = async (): Promise<unknown> => {
      if (this._closed) return;
      if (!this._postsToPath) {
        try {
          return await post("/sub", { "Comet-Session": this.session! }); // proxies log paths, and a session is a secret
        } catch (reason) {
          if (![404, 405, 413].includes((reason as EndReason).status!)) throw reason;
          this._postsToPath = true;
        }
      }
      await post("/sub/" + this.session);
    };
    this._lastPost = this._lastPost
      .then(send)
      .catch(({ status, retryAfter }: EndReason) => this.end({ status, retryAfter, retryNow: status === 404 }));
  };

  /** Whether an object answers the latest request for its channel, and not one before. */
  private _isCurrent(object: ServerObject): boolean {
    const { type, id = "", seq, ref, op, code } = object;
    if (op === "token" && code === 400) return false; // an edge that needs no tokens, or is of the version before
    if (type === "error" && ref) return this._onRefusal(object, ref);
    if (type === "welcome" && (!this._awaited.has(id) || this._awaited.get(id) === ref)) this._onWelcome(id, seq);
    return type === "close" || !this._awaited.has(id);
  }

  private _onWelcome(id: string, seq?: string): void {
    this._awaited.delete(id);
    this._owner.needHistory.delete(id);
    // A channel that was asked for without a position may begin after the one that a tab has reached.
    if (!this.requested.get(id) && isBefore(this._owner.wanted.get(id), seq)) {
      this.restartChannel(id);
      queueMicrotask(() => this.updateChannels());
    }
  }

  private _onRefusal(object: ServerObject, ref: number): boolean {
    for (const [id, awaitedRef] of this._awaited)
      if (awaitedRef === ref) {
        this._forget(id);
        object.id = id; // the server repeats only the beginning of a long name
        this._owner.channelRefused(id, object.code!);
        return true;
      }
    return false; // the channel was left, or asked for again, since
  }

  private _forget(id: string): void {
    this.requested.delete(id);
    this._awaited.delete(id);
  }

  private _subscribeOperation(id: string): Operation {
    const { wanted, needHistory, options } = this._owner;
    const since = needHistory.has(id) ? "" : wanted.get(id)!;
    const ref = ++lastRef;
    this.requested.set(id, since);
    this._awaited.set(id, ref);
    return { op: "sub", id, ref, since, history: options.history };
  }
}
