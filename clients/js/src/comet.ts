import { Connection } from "./connection.js";
import { isLegal } from "./names.js";
import { accept, type Positions } from "./positions.js";
import { Shared } from "./share.js";
import type { Events, Message, Options, State } from "./types.js";
import type { Sink, Source, Waking, Wire } from "./wire.js";

type Listener<T> = (value: T) => void;

const scope = globalThis as typeof globalThis & Partial<Window>;
const LIFE = "pagehide freeze pageshow resume visibilitychange online offline".split(" ");

/** A subscriber: one connection to the cluster, over whatever transport gets through. */
export class Comet {
  private _urls: string[];
  private _options: Options;
  private _source?: Source;
  private _end = new AbortController();
  private _state: State = { state: "idle" };
  private _positions: Positions = new Map();
  private _channels = new Map<string, Set<Listener<Message>>>();
  private _listeners = new Map<string, Set<Listener<never>>>();

  /** `url` is where the edges are reached: one address, or several that are tried in this order. */
  constructor(url: string | string[], options: Options = {}) {
    this._urls = [url].flat().map((each) => new URL(each, scope.location?.href).href.replace(/\/$/, ""));
    this._options = options;
    for (const [id, since] of Object.entries(options.since || {})) this._positions.set(id, since);
    for (const id of options.channels || []) this.subscribe(id);
    const { signal } = this._end;
    // The window captures what happens to the document, too.
    for (const name of LIFE) scope.addEventListener?.(name, this._live, { signal, capture: true });
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
  subscribe(id: string, fn: Listener<Message> = () => {}): () => void {
    if (!isLegal(id, this._positions.get(id))) {
      setTimeout(() => this._emit("error", { code: 400, content: "bad id or since", id }));
      return () => {};
    }
    const listeners = this._channels.get(id);
    this._channels.set(id, (listeners || new Set()).add(fn));
    if (!listeners) this._source?.want(id, this._positions.get(id));
    return () => this.unsubscribe(id, fn);
  }

  /** End one function's subscription, or all of a channel; the channel is let go with the last. */
  unsubscribe(id: string, fn?: Listener<Message>): void {
    const listeners = this._channels.get(id);
    if (!listeners || (fn && (listeners.delete(fn), listeners.size))) return;
    this._channels.delete(id);
    this._positions.delete(id);
    this._source?.drop(id);
  }

  /** Listen to an event; returns a function that ends it. */
  on<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void {
    const listeners = this._listeners.get(name) || new Set();
    this._listeners.set(name, listeners.add(fn));
    return () => listeners.delete(fn);
  }

  /** Drop the connection and make another, from the same positions. */
  reconnect(): void {
    this._source?.wake("reconnect");
  }

  /** End for good. */
  close(): void {
    this._end.abort();
    this._sleep();
    this._sink.state({ state: "closed" });
  }

  private _sink: Sink = {
    wants: () => Object.fromEntries([...this._channels.keys()].map((id) => [id, this._positions.get(id) || ""])),
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
    const listeners = this._channels.get(id);
    if (type === "error" && (listeners || !id)) this._emit("error", { code, content, id });
    if (!listeners || this._state.state === "closed" || !accept(this._positions, object)) return;
    if (type === "reset") this._emit("reset", { id, seq });
    if (type !== "data") return;
    const message = { id, content, seq, event };
    call(listeners, message);
    this._emit("message", message);
  }

  private _emit<K extends keyof Events>(name: K, value: Events[K]): void {
    call(this._listeners.get(name) as Set<Listener<Events[K]>>, value);
  }

  // A page that is put away lets its connection go, so that another tab may lead; when it comes back it goes on.

  private _live = ({ type }: { type: string }): void => {
    if (/hide|freeze/.test(type)) this._sleep();
    else if (/show|resume/.test(type)) this._rise();
    else if (type[0] === "o" || !scope.document!.hidden) this._source?.wake(type as Waking);
  };

  private _sleep(): void {
    this._source?.close();
    this._source = undefined;
  }

  private _rise(): void {
    if (this._source) return;
    const { share = true, token, transports, history } = this._options;
    const connect = (sink: Sink): Source => new Connection(this._urls, this._options, sink);
    this._source =
      share && scope.navigator?.locks // of secure origins only: https, or localhost
        ? new Shared("comet:" + [this._urls, token, transports, history, share], this._sink, connect)
        : connect(this._sink);
    for (const [id, since] of Object.entries(this._sink.wants())) this._source.want(id, since);
  }
}

/** Call each listener; one that fails does not keep the others from hearing. */
function call<T>(listeners: Set<Listener<T>> | undefined, value: T): void {
  for (const listener of [...(listeners || [])]) {
    try {
      if (listeners!.has(listener)) listener(value); // another may just have ended it
    } catch (error) {
      setTimeout(() => {
        throw error;
      });
    }
  }
}
