/**
 * One connection for all tabs. Whoever gets the lock holds the connection; the others tell it by a broadcast channel
 * what they want, and hear all that it hears. When its tab is closed or frozen the browser gives the lock to the next
 * one, which goes on from the positions that the tabs kept.
 *
 * Each tab stands at a place of its own. So it believes nothing of a channel before the present leader has heard where
 * it stands there; from then on what the leader says of the channel follows on that place.
 */
import type { State } from "./types.js";
import type { Sink, Source, Waking, Wire } from "./wire.js";

type Channels = Record<string, string>;

/** What a tab wants of the leader. */
type Wish = { wish: "want" | "drop" | Waking; tab: string; ids: Channels };

/** What the leader says; `term` grows with each leader, so that late words of an old one are known as such. */
type News = { term: number; objects?: Wire[]; state?: State; heard?: Wish };

export class Shared implements Source {
  private _tab = Math.random().toString(36).slice(2);
  private _room?: BroadcastChannel;
  private _leader?: Source;
  private _term = 0;
  private _state?: State;
  /** Which tab wants which channels, as the leader knows it. */
  private _wants = new Map<string, Set<string>>();
  /** The channels of this tab that the leader has heard of. */
  private _heard = new Set<string>();
  private _end = new AbortController();

  constructor(
    private _name: string,
    private _sink: Sink,
    private _connect: (sink: Sink) => Source,
  ) {
    // As long as this tab lives it holds the lock of its own name: so a leader learns when it is gone.
    this._lock(_name + this._tab, () => {
      this._room = new BroadcastChannel(_name);
      this._room.onmessage = ({ data }) => {
        if (data.term) this._follow(data);
        else this._obey(data);
      };
      this._wish("want", _sink.wants());
      this._lock(_name, () => this._lead());
    });
  }

  want(id: string, since = ""): void {
    this._wish("want", { [id]: since });
  }

  drop(id: string): void {
    this._wish("drop", { [id]: "" });
  }

  wake(why: Waking): void {
    // Timers of a hidden leader are slow, messages are not. What happens to the network it hears itself.
    if (this._leader || why[0] !== "o") this._wish(why);
  }

  close(): void {
    this._leader?.close();
    this._end.abort();
    this._room?.close();
  }

  /** Wait for a lock, and hold it until the end if `use` gives nothing back. */
  private _lock(name: string, use: () => unknown): void {
    const { signal } = this._end;
    const until = () => use() || signal.aborted || new Promise((done) => signal.addEventListener("abort", done));
    // Where locks are forbidden, as in a sandboxed frame, each tab leads itself.
    navigator.locks.request(name, { signal }, until).catch(() => signal.aborted || this._leader || this._lead());
  }

  private _wish(wish: Wish["wish"], ids: Channels = {}): void {
    const word = { wish, tab: this._tab, ids };
    for (const id in ids) this._heard.delete(id);
    if (!this._obey(word)) this._room?.postMessage(word);
  }

  private _follow({ term, objects = [], state, heard }: News): void {
    if (this._leader || term < this._term) return;
    const mine = heard?.tab === this._tab;
    if (term > this._term) {
      this._term = term;
      if (!mine) this._wish("want", this._sink.wants());
    }
    if (mine) for (const id in heard.ids) this._heard.add(id);
    if (state) this._sink.state({ ...state, shared: true });
    this._sink.receive(objects.filter(({ id }) => !id || this._heard.has(id)));
  }

  // The tab that leads.

  private _lead(): void {
    this._term = Math.max(Date.now(), this._term + 1);
    this._leader = this._connect({
      wants: this._sink.wants,
      receive: (objects) => {
        this._say({ objects });
        this._sink.receive(objects);
      },
      state: (state) => {
        this._say({ state: (this._state = state) });
        this._sink.state(state);
      },
    });
    this._wish("want", this._sink.wants());
  }

  private _say(news: Omit<News, "term">): void {
    this._room?.postMessage({ term: this._term, ...news });
  }

  private _obey(word: Wish): boolean {
    const { wish, tab, ids } = word;
    const leader = this._leader;
    if (!leader) return false;
    if (wish === "want") {
      if (!this._wants.has(tab)) this._watch(tab);
      this._say({ state: this._state, heard: word });
      for (const id in ids) {
        this._wants.get(tab)!.add(id);
        leader.want(id, ids[id]!);
      }
    } else if (wish === "drop") for (const id in ids) this._dismiss(tab, id);
    else leader.wake(wish);
    return true;
  }

  private _dismiss(tab: string, id: string): void {
    this._wants.get(tab)?.delete(id);
    if (![...this._wants.values()].some((ids) => ids.has(id))) this._leader!.drop(id);
  }

  /** A tab's lock is ours when the tab is gone: then nobody there wants anything any more. */
  private _watch(tab: string): void {
    this._wants.set(tab, new Set());
    this._lock(this._name + tab, () => {
      for (const id of this._wants.get(tab)!) this._dismiss(tab, id);
      return this._wants.delete(tab);
    });
  }
}
