/** One attempt to hold a connection to one edge by one transport, and that connection while it lasts. */
import { TRANSPORTS } from "./transports/index.js";
import type { Held, Line, Op, TransportName, Why, Wire } from "./wire.js";

const LOOK = 10_000; // milliseconds between two looks at how long nothing was heard
const QUIET = 20_000; // after so much silence a transport that can ask, asks
const PATIENCE = 5_000; // for the answer
const DEAD = 60_000; // two heartbeats of the server, and some
const LONGEST_RETRY = 5_000; // what the server lets an EventSource wait

/** Who uses a link. */
export interface Owner {
  /** The channels wanted, with the position to go on from. */
  positions: Map<string, string>;
  /** The end of every URL: token, history. */
  query(): string;
  history?: number;
  timeout: number;
  /** It is away and comes back by itself, or ends. */
  lost(): void;
  opened(link: Link): void;
  received(link: Link, objects: Wire[]): void;
  ended(link: Link, why: Why): void;
}

export class Link implements Line {
  asked: string[] = [];
  opened = 0;
  session?: string;
  private _held?: Held;
  private _over = false;
  private _away = false;
  private _changed = false;
  private _heard = Date.now();
  private _timer: ReturnType<typeof setTimeout>;

  constructor(
    private _owner: Owner,
    readonly name: TransportName,
    readonly base: string,
    private _alone: boolean,
  ) {
    this._timer = setTimeout(() => this.end({}), _owner.timeout);
    try {
      this._held = TRANSPORTS[name](this);
    } catch {
      setTimeout(() => this.end({})); // a browser that forbids it throws at once
    }
  }

  url(path: string, extra = ""): string {
    const wanted = this._owner.positions;
    this.asked = [...wanted.keys()];
    const ids = this.asked.map((id) => "id=" + encodeURIComponent(id)).join("&");
    const since = [...wanted.values()].join();
    return `${this.base}${path}?${ids}${/\d/.test(since) ? "&since=" + since : ""}${this._owner.query()}${extra}`;
  }

  receive(objects: Wire[]): void {
    if (this._over || !objects.length) return;
    this.beat();
    if (this._away) this.opened = 0;
    for (const { session } of objects) this.session = session || this.session;
    if (!this.opened) {
      this.opened = Date.now();
      this._away = false;
      this._watch();
      this._owner.opened(this);
    }
    this._owner.received(this, objects);
  }

  /** Let the browser reconnect by itself, if that leads where we would go. */
  away(): boolean {
    if (!this.opened || !this._alone || this._changed) return false;
    clearTimeout(this._timer);
    this._away = true;
    this._timer = setTimeout(() => this.end({}), LONGEST_RETRY + this._owner.timeout);
    this._owner.lost();
    return true;
  }

  beat(): void {
    this._heard = Date.now();
  }

  end(why: Why): void {
    if (this._over) return;
    this.close();
    this._owner.ended(this, why);
  }

  close(): void {
    this._over = true;
    clearTimeout(this._timer);
    this._held?.close();
  }

  /** Bring the held channels in line with the wanted ones; `anew` are held and must begin again elsewhere. */
  hold(anew: Iterable<string>): void {
    const wanted = this._owner.positions;
    const again = new Set(anew);
    const drop = this.asked.filter((id) => !wanted.has(id) || again.has(id));
    const add = [...wanted.keys()].filter((id) => !this.asked.includes(id) || again.has(id));
    if (!drop.length && !add.length) return;
    this.asked = [...wanted.keys()];
    this._changed = true;
    this._held!.send([...drop.map((id): Op => ({ op: "unsub", id })), ...add.map((id) => this._sub(id))]);
  }

  post(ops: Op[]): void {
    // Without a content type of its own it is a request that browsers send to any origin without asking first.
    const sent = this.session
      ? fetch(`${this.base}/sub/${this.session}`, { method: "POST", body: JSON.stringify(ops) })
      : Promise.reject();
    sent.then((answer) => answer.ok || this.end({ polite: true })).catch(() => this.end({ polite: true }));
  }

  /** Find out now whether the connection still lives, as far as it can be found out. */
  check(): void {
    if (!this.opened || !this._held || this._held.deaf) return;
    const heard = this._heard;
    if (Date.now() - heard > DEAD) return this.end({});
    if (!this._held.ping || Date.now() - heard < QUIET) return;
    this._held.ping();
    setTimeout(() => heard === this._heard && this.end({}), PATIENCE);
  }

  private _sub(id: string): Op {
    const since = this._owner.positions.get(id);
    return since ? { op: "sub", id, since } : { op: "sub", id, history: this._owner.history };
  }

  private _watch(): void {
    clearTimeout(this._timer);
    if (this._held?.deaf) return;
    this._timer = setTimeout(() => {
      this.check();
      if (!this._over) this._watch();
    }, LOOK);
  }
}
