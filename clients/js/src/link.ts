/** One attempt to hold a connection to one edge by one transport, and that connection while it lasts. */
import { isBefore, type Positions } from "./positions.js";
import { request } from "./transports/request.js";
import { TRANSPORTS } from "./transports/index.js";
import type { Options } from "./types.js";
import type { Held, Line, Op, TransportName, Why, Wire } from "./wire.js";

/** Milliseconds, but for the last. */
const enum Limit {
  Look = 10_000, // between two looks at how long nothing was heard
  Quiet = 20_000, // after so much silence a transport that can ask, asks
  Patience = 5_000, // for the answer
  Dead = 60_000, // two heartbeats of the server, and some
  Portion = 24, // operations that are sure to fit into one message
}

/** Who uses a link. */
export interface Owner {
  /** The channels wanted, with the position to go on from. */
  places: Positions;
  /** Of these, the ones that must begin with their last messages all the same. */
  recent: Set<string>;
  options: Options;
  token?: string;
  opened(link: Link): void;
  received(link: Link, objects: Wire[]): void;
  /** The server did not let us into one channel. */
  refused(id: string, code: number): void;
  ended(link: Link, why: Why): void;
}

let refs = 0;

export class Link implements Line {
  /** The channels that the server was asked for, with the position that was sent. */
  asked = new Map<string, string>();
  opened = 0;
  session?: string;
  /** Channels of which nothing counts before the welcome with this reference; 0 is still to be asked for. */
  private _awaited = new Map<string, number>();
  private _posted: Promise<unknown> = Promise.resolve();
  private _held?: Held;
  private _over?: boolean;
  private _heard = Date.now();
  private _timer: ReturnType<typeof setTimeout>;
  private _answer?: ReturnType<typeof setTimeout>;

  constructor(
    private _owner: Owner,
    readonly name: TransportName,
    readonly base: string,
  ) {
    this._timer = setTimeout(() => this.end({}), _owner.options.timeout || 5000);
    try {
      this._held = TRANSPORTS[name](this);
    } catch {
      setTimeout(() => this.end({})); // a browser that forbids it, or does not have it, throws at once
    }
  }

  url(path: string, extra = ""): string {
    const { places, recent, token, options } = this._owner;
    this.asked = new Map([...places].map(([id, since]) => [id, recent.has(id) ? "" : since]));
    this._awaited.clear();
    const ids = [...this.asked.keys()].map((id) => "id=" + encodeURIComponent(id)).join("&");
    const since = [...this.asked.values()].join();
    return (
      `${this.base}${path}?${ids}${/\d/.test(since) ? "&since=" + since : ""}` +
      `${token ? "&token=" + encodeURIComponent(token) : ""}${options.history ? "&history=" + options.history : ""}${extra}`
    );
  }

  receive(objects: Wire[]): void {
    if (this._over || !objects.length) return;
    this.beat();
    this.session ||= objects[0]!.session;
    const news = objects.filter((object) => this._counts(object)); // before it is asked for anything else
    if (!this.opened) {
      this.opened = Date.now();
      clearTimeout(this._timer);
      this._timer = setInterval(() => this.check(), Limit.Look);
      this._owner.opened(this);
    }
    this._owner.received(this, news);
  }

  beat(trust = 0): void {
    this._heard = Date.now() + trust;
    clearTimeout(this._answer);
  }

  end(why: Why): void {
    if (this._over) return;
    this.close();
    this._owner.ended(this, why);
  }

  close(): void {
    this._over = true;
    clearTimeout(this._timer);
    clearTimeout(this._answer);
    this._held?.close();
  }

  /** Whether it goes on with a channel, and nothing is about to begin anew. */
  flows(id: string): boolean {
    return !!this.opened && this.asked.has(id) && !this._awaited.has(id);
  }

  /** A channel must begin anew at the wanted place: from now on, nothing of its present course counts. */
  again(id: string): void {
    if (this.asked.has(id)) this._awaited.set(id, 0);
  }

  /** Bring the held channels in line with the wanted ones. */
  hold(): void {
    if (!this.opened || this._over) return;
    const { places } = this._owner;
    const ops: Op[] = [];
    for (const id of [...this.asked.keys()])
      if (!places.has(id) || this._awaited.get(id) === 0) {
        ops.push({ op: "unsub", id });
        this.asked.delete(id);
        this._awaited.delete(id);
      }
    for (const id of places.keys()) if (!this.asked.has(id)) ops.push(this._sub(id));
    while (ops.length) (this._held!.send || this._post)(ops.splice(0, Limit.Portion));
  }

  /** Find out whether the connection still lives, as far as silence tells. */
  check(): void {
    const silence = Date.now() - this._heard;
    if (this.opened && silence > Limit.Dead) this.end({});
    else if (silence >= Limit.Quiet) this.ask();
  }

  /** Have the server give a sign of life soon, if this transport can ask for one; says whether it can. */
  ask(): boolean | undefined {
    const ping = this.opened && this._held!.ping;
    if (!ping) return;
    clearTimeout(this._answer);
    this._answer = setTimeout(() => this.end({}), Limit.Patience);
    ping();
    return true;
  }

  /** Change channels by requests beside the held one: one after the other, so that none overtakes another. */
  private _post = (ops: Op[]): void => {
    // Without a content type of its own it is a request that browsers send to any origin without asking first.
    const send = async (): Promise<unknown> =>
      this._over || request(`${this.base}/sub/${this.session}`, { method: "POST", body: JSON.stringify(ops) });
    this._posted = this._posted
      .then(send)
      .catch(({ status, after }: Why) => this.end({ after, polite: status === 404 }));
  };

  /** Whether an object belongs to the course that was asked for last. */
  private _counts(object: Wire): boolean {
    const { type, id = "", seq, ref } = object;
    const awaited = this._awaited;
    if (type === "error" && ref) return this._refuse(object, ref);
    if (type === "welcome" && (!awaited.has(id) || awaited.get(id) === ref)) {
      awaited.delete(id);
      this._owner.recent.delete(id);
      // It was not asked to go on from a place, and began after the one where others stand.
      if (!this.asked.get(id) && isBefore(this._owner.places.get(id), seq)) {
        this.again(id);
        queueMicrotask(() => this.hold());
      }
    }
    return type === "close" || !awaited.has(id);
  }

  private _refuse(object: Wire, ref: number): boolean {
    for (const [id, each] of this._awaited)
      if (each === ref) {
        this.asked.delete(id);
        this._awaited.delete(id);
        object.id = id; // the server repeats only the beginning of a long one
        this._owner.refused(id, object.code!);
        return true;
      }
    return false; // nobody waits for it any more
  }

  private _sub(id: string): Op {
    const { places, recent, options } = this._owner;
    const since = recent.has(id) ? "" : places.get(id)!;
    const ref = ++refs;
    this.asked.set(id, since);
    this._awaited.set(id, ref);
    return { op: "sub", id, ref, since, history: options.history };
  }
}
