import { Connection } from "./connection.js";
import { Positions } from "./positions.js";
import { canShare, Shared } from "./share.js";
import type { Events, Message, Options, State } from "./types.js";
import type { Sink, Source, Wire } from "./wire.js";

type Listener<T> = (value: T) => void;

const scope = globalThis as typeof globalThis & Partial<Window>;
const LIFE = ["pagehide", "freeze", "pageshow", "resume", "visibilitychange"];

/** A subscriber: one connection to the cluster, over whatever transport gets through. */
export class Comet {
  private _urls: string[];
  private _options: Options;
  private _source?: Source;
  private _state: State = { state: "idle" };
  private _positions = new Positions();
  private _channels = new Map<string, Set<Listener<Message>>>();
  private _listeners: { [K in keyof Events]?: Set<Listener<Events[K]>> } = {};

  /** `url` is where the edges are reached: one address, or several that are tried in this order. */
  constructor(url: string | string[], options: Options = {}) {
    this._urls = [url].flat().map((each) => new URL(each, scope.location?.href).href.replace(/\/$/, ""));
    this._options = options;
    for (const [id, since] of Object.entries(options.since || {})) this._positions.set(id, since);
    for (const id of options.channels || []) this._channels.set(id, new Set());
    for (const name of LIFE) for (const target of [scope, scope.document]) target?.addEventListener?.(name, this._live);
    this._rise();
  }

  /** Where the connection stands. */
  get state(): State {
    return this._state;
  }

  /** Where this page stands in each channel: what to give as `since` another time. */
  get positions(): Record<string, string> {
    return this._sink.wants();
  }

  /** Call `fn` for each message of a channel; returns a function that ends it. */
  subscribe(id: string, fn?: Listener<Message>): () => void {
    const fresh = !this._channels.has(id);
    const listeners = this._channels.get(id) || new Set();
    if (fn) listeners.add(fn);
    this._channels.set(id, listeners);
    if (fresh) this._source?.want(id, this._positions.get(id));
    return () => this.unsubscribe(id, fn);
  }

  /** End one function's subscription, or all of a channel; the channel is let go with the last. */
  unsubscribe(id: string, fn?: Listener<Message>): void {
    const listeners = this._channels.get(id);
    if (fn) listeners?.delete(fn);
    if (!listeners || (fn && listeners.size)) return;
    this._channels.delete(id);
    this._positions.forget(id);
    this._source?.drop(id);
  }

  /** Listen to an event; returns a function that ends it. */
  on<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void {
    const listeners: Set<Listener<Events[K]>> = (this._listeners[name] ||= new Set() as never);
    listeners.add(fn);
    return () => listeners.delete(fn);
  }

  /** Drop the connection and make another, from the same positions. */
  reconnect(): void {
    this._source?.reconnect();
  }

  /** End for good. */
  close(): void {
    for (const name of LIFE) for (const target of [scope, scope.document]) target?.removeEventListener?.(name, this._live);
    this._sleep();
    this._sink.state({ state: "closed" });
  }

  private _sink: Sink = {
    wants: () => Object.fromEntries([...this._channels.keys()].map((id) => [id, this._positions.get(id)])),
    receive: (objects) => objects.forEach((object) => this._receive(object)),
    state: (state) => {
      const opens = state.state === "open" && this._state.session + this._state.state !== state.session + "open";
      this._state = state;
      this._emit("state", state);
      if (opens) this._emit("open", state);
    },
  };

  private _receive(object: Wire): void {
    const { type, id = "", content = "", seq, event, code } = object;
    if (type === "error") this._emit("error", { code, content, id });
    const listeners = this._channels.get(id);
    if (!listeners || !this._positions.accept(object)) return;
    if (type === "reset") this._emit("reset", { id, seq });
    if (type !== "data") return;
    const message = { id, content, seq, event };
    call(listeners, message);
    this._emit("message", message);
  }

  private _emit<K extends keyof Events>(name: K, value: Events[K]): void {
    call(this._listeners[name] || [], value);
  }

  // A page that is put away lets its connection go, so that another tab may lead; when it comes back it goes on.

  private _live = ({ type }: { type: string }): void => {
    if (type === "pagehide" || type === "freeze") this._sleep();
    else if (type !== "visibilitychange") this._rise();
    else if (!scope.document!.hidden) this._source?.wake();
  };

  private _sleep(): void {
    this._source?.close();
    this._source = undefined;
  }

  private _rise(): void {
    if (this._source) return;
    const { share = true, token, transports } = this._options;
    const connect = (sink: Sink): Source => new Connection(this._urls, this._options, sink);
    this._source =
      share && canShare()
        ? new Shared("comet:" + [this._urls, token, transports, share], this._sink, connect)
        : connect(this._sink);
    for (const [id, since] of Object.entries(this._sink.wants())) this._source.want(id, since);
  }
}

/** Call each listener; one that fails does not keep the others from hearing. */
function call<T>(listeners: Iterable<Listener<T>>, value: T): void {
  for (const listener of [...listeners]) {
    try {
      listener(value);
    } catch (error) {
      setTimeout(() => {
        throw error;
      });
    }
  }
}
