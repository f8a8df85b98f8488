/**
 * One connection for all tabs. The tab that gets the lock leads: it holds the connection. The others send it their
 * requests over a BroadcastChannel, and hear all that it receives. When the leading tab is closed or frozen, the browser
 * gives the lock to the next one, which goes on from the positions that the tabs kept. From a leader that hangs, as in
 * a long loop or with `alert` open, another tab steals the lock for the next one; the old leader joins anew when it goes on.
 *
 * Each tab has its own position in a channel. So it ignores a channel until the present leader has heard that position;
 * from then on, what the leader reports of the channel follows on it.
 */
import type { State } from "./types.js";
import type { PageEvent, ServerObject, Sink, Source } from "./wire.js";

type Channels = Record<string, string>;

const TICK = 900; // milliseconds

/** After how many ticks without news of the leader a tab does something about it: within 5 seconds in all. */
const enum Silence {
  Ask = 2, // twice, as a tab that was held up itself asks late
  Steal = 4,
}

// Two tabs may run two versions of the client: the fields of these two types, and their words, must not change.

/** What a tab asks of the leader. */
type TabRequest = { wish: "want" | "drop" | PageEvent; tab: string; ids: Channels };

/** What the leader reports; `term` grows with each leader, so that late news of an old one can be told. */
type LeaderNews = { term: number; objects?: ServerObject[]; state?: State; heard?: TabRequest };

export class SharedConnection implements Source {
  private _tab = Math.random().toString(36).slice(2);
  private _broadcast?: BroadcastChannel;
  /** The connection, in the tab that leads. */
  private _connection?: Source;
  private _term = 0;
  private _state?: State;
  /** The leader's record of the channels that each tab wants. */
  private _channelsByTab = new Map<string, Set<string>>();
  /** The channels of this tab that the leader has heard of. */
  private _confirmed = new Set<string>();
  /** Ticks since the last news of the leader. */
  private _silence = 0;
  private _end = new AbortController();

  constructor(
    private _name: string,
    private _sink: Sink,
    private _connect: (sink: Sink) => Source,
    _onStolen: () => void,
  ) {
    // Each tab holds a lock of its own name while it lives: the leader waits for it, and so learns when the tab is gone.
    this._lock(
      _name + this._tab,
      () => {
        this._broadcast = new BroadcastChannel(_name);
        this._broadcast.onmessage = ({ data }) => {
          if (data.term) this._onNews(data);
          else this._serve(data);
        };
        this._request("want", _sink.wantedChannels());
        this._lock(_name, () => this._lead(), _onStolen);
        this._tick();
      },
      () => this._lead(), // where locks are forbidden, as in a sandboxed frame, each tab leads itself
    );
  }

  addChannel(id: string, since = ""): void {
    this._request("want", { [id]: since });
  }

  removeChannel(id: string): void {
    this._request("drop", { [id]: "" });
  }

  onPageEvent(event: PageEvent): void {
    // The leader sees the events of the network itself. The timers of a hidden leader are slow, so it is told the others.
    const isOfNetwork = /line$/.test(event); // "online" or "offline"
    if (this._connection || !isOfNetwork) this._request(event);
  }

  close(): void {
    this._end.abort();
    this._connection?.close();
    this._broadcast?.close();
  }

  /** Wait for a lock, and hold it until `close`, or not at all if `onGranted` returns true. */
  private _lock(name: string, onGranted: () => unknown, onLost?: () => void): void {
    const { signal } = this._end;
    const closed = (): unknown => signal.aborted || new Promise((done) => signal.addEventListener("abort", done));
    navigator.locks
      .request(name, { signal }, () => onGranted() || closed())
      .catch(() => signal.aborted || onLost?.());
  }

  private _request(wish: TabRequest["wish"], ids: Channels = {}): void {
    const request = { wish, tab: this._tab, ids };
    for (const id in ids) this._confirmed.delete(id);
    if (this._connection) this._serve(request);
    else this._broadcast?.postMessage(request);
  }

  /** Where no news of the leader come, ask it to answer; where that does not help, have the next in line lead. */
  private _tick(): void {
    if (this._connection || this._end.signal.aborted) return;
    if (++this._silence > Silence.Steal) {
      this._silence = Silence.Ask;
      navigator.locks.request(this._name, { steal: true }, () => {}).catch(() => {}); // it may be stolen again
    } else if (this._silence > Silence.Ask) this._request("want");
    setTimeout(() => this._tick(), TICK);
  }

  private _onNews({ term, objects = [], state, heard }: LeaderNews): void {
    if (this._connection || term < this._term) return;
    const isMine = heard?.tab === this._tab;
    this._silence = 0;
    if (term > this._term) {
      this._term = term;
      if (!isMine) this._request("want", this._sink.wantedChannels());
    }
    if (isMine) for (const id in heard.ids) this._confirmed.add(id);
    if (state) this._sink.setState({ ...state, shared: true });
    this._sink.receive(objects.filter(({ id }) => !id || this._confirmed.has(id)));
  }

  // The tab that leads.

  private _lead(): void {
    this._term = Math.max(Date.now(), this._term + 1);
    this._connection = this._connect({
      wantedChannels: this._sink.wantedChannels,
      receive: (objects) => {
        this._report({ objects });
        this._sink.receive(objects);
      },
      setState: (state) => {
        this._state = state;
        this._report({ state });
        this._sink.setState(state);
      },
    });
    this._request("want", this._sink.wantedChannels());
  }

  private _report(news: Omit<LeaderNews, "term">): void {
    this._broadcast?.postMessage({ term: this._term, ...news });
  }

  /** Carry out a request of a tab, if this one leads. */
  private _serve(request: TabRequest): void {
    const { wish, tab, ids } = request;
    const connection = this._connection;
    if (!connection) return;
    if (wish === "want") {
      this._report({ heard: request });
      if (!this._channelsByTab.has(tab)) this._addTab(tab);
      for (const id in ids) {
        this._channelsByTab.get(tab)!.add(id);
        connection.addChannel(id, ids[id]!);
      }
    } else if (wish === "drop") for (const id in ids) this._removeChannelOf(tab, id);
    else connection.onPageEvent(wish);
  }

  private _removeChannelOf(tab: string, id: string): void {
    this._channelsByTab.get(tab)?.delete(id);
    for (const ids of this._channelsByTab.values()) if (ids.has(id)) return;
    this._connection!.removeChannel(id);
  }

  private _addTab(tab: string): void {
    this._report({ state: this._state });
    this._channelsByTab.set(tab, new Set());
    // The tab's lock is granted when the tab is gone.
    this._lock(
      this._name + tab,
      () => {
        for (const id of this._channelsByTab.get(tab)!) this._removeChannelOf(tab, id);
        return this._channelsByTab.delete(tab);
      },
    );
  }
}
