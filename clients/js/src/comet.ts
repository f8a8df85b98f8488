import { Connection } from "./connection.js";
import { isLegal } from "./names.js";
import { accept, type Positions } from "./positions.js";
import { SharedConnection } from "./share.js";
import type { Events, Message, Options, State } from "./types.js";
import type { PageEvent, ServerObject, Sink, Source } from "./wire.js";

type Listener<T> = (value: T) => void;

/** Where a relative address leads if there is no page, on a server that renders one: the client stays idle. */
const NOWHERE = "no:/";

/** A subscriber: one connection to the cluster, over the best transport that gets through. */
export class Comet {
  private _urls: string[];
  private _options: Options;
  private _source?: Source;
  private _end = new AbortController();
  private _state: State = { state: "idle" };
  private _positions: Positions;
  private _channels = new Map<string, Set<Listener<Message>>>();
  private _listeners = new Map<string, Set<Listener<never>>>();

  /** `url` is the address of the edges, or several addresses, which are tried in this order. */
  constructor(url: string | string[], options: Options = {}) {
    this._urls = [url].flat().map((each) =>
      new URL(each, globalThis.location?.href || NOWHERE).href.replace(/\/$/, ""),
    );
    this._options = options;
    this._positions = new Map(Object.entries(options.since || {}));
    for (const id of options.channels || []) this.subscribe(id);
    // A page that the browser freezes or keeps for "back" gives up its connection, so that another tab may lead.
    this._onPage("pagehide freeze", () => this._disconnect());
    this._onPage("pageshow resume", () => this._connect());
    this._onPage("online offline visibilitychange", ({ type }) => {
      const isHidden = type === "visibilitychange" && globalThis.document!.hidden;
      if (!isHidden) this._source?.onPageEvent(type as PageEvent);
    });
    this._connect();
  }

  /** The state of the connection. */
  get state(): State {
    return this._state;
  }

  /** The position of this page in each channel: what to give as `since` another time. */
  get positions(): Record<string, string> {
    return this._sink.wantedChannels();
  }

  /** Call `fn` for each message of a channel; returns a function that ends it. */
  subscribe(id: string, fn: Listener<Message> = () => {}): () => void {
    if (!isLegal(id, this._positions.get(id))) {
      setTimeout(() => this._emit("error", { code: 400, content: "bad id or since", id }));
      return () => {};
    }
    const listeners = this._channels.get(id);
    this._channels.set(id, (listeners || new Set()).add(fn));
    if (!listeners) this._source?.addChannel(id, this._positions.get(id));
    return () => this.unsubscribe(id, fn);
  }

  /** End one function's subscription, or all of a channel; the channel is left with the last. */
  unsubscribe(id: string, fn?: Listener<Message>): void {
    const listeners = this._channels.get(id);
    if (!listeners) return;
    if (fn) listeners.delete(fn);
    if (fn && listeners.size) return;
    this._channels.delete(id);
    this._positions.delete(id);
    this._source?.removeChannel(id);
  }

  /** Listen to an event; returns a function that ends it. */
  on<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void {
    const listeners = (this._listeners.get(name) || new Set()).add(fn);
    this._listeners.set(name, listeners);
    return () => listeners.delete(fn);
  }

  /** Drop the connection and make another, from the same positions. */
  reconnect(): void {
    this._source?.onPageEvent("reconnect");
  }

  /** End for good. */
  close(): void {
    this._end.abort();
    this._disconnect();
    this._sink.setState({ state: "closed" });
  }

  private _sink: Sink = {
    wantedChannels: () =>
      Object.fromEntries([...this._channels.keys()].map((id) => [id, this._positions.get(id) || ""])),
    receive: (objects) => objects.forEach((object) => this._receive(object)),
    setState: (state) => {
      const before = this._state;
      this._state = state;
      this._emit("state", state);
      if (state.state === "open" && (before.state !== "open" || before.session !== state.session)) this._emit("open", state);
    },
  };

  private _receive(object: ServerObject): void {
    const { type, id = "", content = "", seq, event, code } = object;
    const listeners = this._channels.get(id);
    if (type === "error" && (listeners || !id)) this._emit("error", { code, content, id });
    if (!listeners || this._state.state === "closed" || !accept(this._positions, object)) return;
    if (type === "reset") this._emit("reset", { id, seq });
    if (type !== "data") return;
    const message = { id, content, seq, event };
    callEach(listeners, message);
    this._emit("message", message);
  }

  private _emit<K extends keyof Events>(name: K, value: Events[K]): void {
    callEach(this._listeners.get(name) as Set<Listener<Events[K]>>, value);
  }

  /** Listen to events of the window and, as it captures them, of the document. */
  private _onPage(names: string, fn: (event: Event) => void): void {
    const { signal } = this._end;
    for (const name of names.split(" ")) globalThis.addEventListener?.(name, fn, { signal, capture: true });
  }

  private _disconnect(): void {
    this._source?.close();
    this._source = undefined;
  }

  private _connect(): void {
    if (this._source || /^no:/.test(this._urls[0]!)) return;
    const { share = true, token, transports, history } = this._options;
    const connect = (sink: Sink): Source => new Connection(this._urls, this._options, sink);
    this._source =
      share && globalThis.navigator?.locks // of secure origins only: https, or localhost
        ? new SharedConnection("comet:" + [this._urls, token, transports, history, share], this._sink, connect, () => {
            this._disconnect();
            this._connect();
          })
        : connect(this._sink);
    for (const id of this._channels.keys()) this._source.addChannel(id, this._positions.get(id));
  }
}

/** Call each listener; one that throws does not keep the others from being called. */
const callEach = <T>(listeners: Set<Listener<T>> | undefined, value: T): void => {
  for (const listener of [...(listeners || [])]) {
    try {
      if (listeners!.has(listener)) listener(value); // another may have ended it just now
    } catch (error) {
      setTimeout(() => {
        throw error;
      });
    }
  }
};
