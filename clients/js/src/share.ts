/**
 * One connection for all tabs. Whoever gets the lock holds the connection; the others tell it by a broadcast channel
 * what they want, and hear all that it hears. When its tab is closed or frozen the browser gives the lock to the next
 * one, which goes on from the positions that the tabs kept.
 */
import type { State } from "./types.js";
import type { Sink, Source, Wire } from "./wire.js";

type Word =
  | { say: "want"; tab: string; ids: Record<string, string> }
  | { say: "drop"; tab: string; id: string }
  | { say: "lead" | "wake" | "reconnect" }
  | { say: "objects"; objects: Wire[] }
  | { say: "state"; state: State };

/** Whether this browser can share; Web Locks need a secure origin (https, or localhost). */
export const canShare = (): boolean => "BroadcastChannel" in globalThis && !!globalThis.navigator?.locks;

export class Shared implements Source {
  private _tab = Math.random().toString(36).slice(2);
  private _room: BroadcastChannel;
  private _leader?: Source;
  private _state?: State;
  private _wants = new Map<string, Set<string>>();
  private _end = new AbortController();

  constructor(
    private _name: string,
    private _sink: Sink,
    private _connect: (sink: Sink) => Source,
  ) {
    this._room = new BroadcastChannel(_name);
    this._room.onmessage = ({ data }) => this._hear(data);
    // As long as this tab lives it holds the lock of its own name: so a leader learns when it is gone.
    this._hold(_name + this._tab, () => {});
    this._hold(_name, () => this._lead());
  }

  want(id: string, since: string): void {
    if (this._leader) this._serve(this._tab, id, since);
    else this._say({ say: "want", tab: this._tab, ids: { [id]: since } });
  }

  drop(id: string): void {
    if (this._leader) this._dismiss(this._tab, id);
    else this._say({ say: "drop", tab: this._tab, id });
  }

  reconnect(): void {
    if (this._leader) this._leader.reconnect();
    else this._say({ say: "reconnect" });
  }

  wake(): void {
    if (this._leader) this._leader.wake();
    else this._say({ say: "wake" }); // timers of a hidden leader are slow, messages are not
  }

  close(): void {
    this._leader?.close();
    this._end.abort();
    this._room.close();
  }

  private _say(word: Word): void {
    this._room.postMessage(word);
  }

  /** Hold a lock from whenever it can be had until the end. */
  private _hold(name: string, then: () => void): void {
    const until = () =>
      new Promise<void>((done) => {
        if (this._end.signal.aborted) return done();
        this._end.signal.addEventListener("abort", () => done());
        then();
      });
    navigator.locks.request(name, { signal: this._end.signal }, until).catch(() => {});
  }

  private _lead(): void {
    this._leader = this._connect({
      wants: this._sink.wants,
      receive: (objects) => {
        this._say({ say: "objects", objects });
        this._sink.receive(objects);
      },
      state: (state) => {
        this._state = state;
        this._say({ say: "state", state });
        this._sink.state(state);
      },
    });
    for (const [id, since] of Object.entries(this._sink.wants())) this.want(id, since);
    this._say({ say: "lead" });
  }

  private _hear(word: Word): void {
    if (this._leader) this._command(word);
    else if (word.say === "objects") this._sink.receive(word.objects);
    else if (word.say === "state") this._sink.state({ ...word.state, shared: true });
    else if (word.say === "lead") this._say({ say: "want", tab: this._tab, ids: this._sink.wants() });
  }

  private _command(word: Word): void {
    if (word.say === "want") {
      if (!this._wants.has(word.tab)) this._watch(word.tab);
      for (const [id, since] of Object.entries(word.ids)) this._serve(word.tab, id, since);
      if (this._state) this._say({ say: "state", state: this._state });
    } else if (word.say === "drop") this._dismiss(word.tab, word.id);
    else if (word.say === "wake" || word.say === "reconnect") this._leader![word.say]();
  }

  private _serve(tab: string, id: string, since: string): void {
    this._wants.set(tab, (this._wants.get(tab) || new Set()).add(id));
    this._leader!.want(id, since);
  }

  private _dismiss(tab: string, id: string): void {
    this._wants.get(tab)?.delete(id);
    if (![...this._wants.values()].some((ids) => ids.has(id))) this._leader!.drop(id);
  }

  /** A tab's lock is ours when the tab is gone: then nobody there wants anything any more. */
  private _watch(tab: string): void {
    this._wants.set(tab, new Set());
    const gone = (): void => {
      for (const id of this._wants.get(tab) || []) this._dismiss(tab, id);
      this._wants.delete(tab);
    };
    navigator.locks.request(this._name + tab, { signal: this._end.signal }, gone).catch(() => {});
  }
}
