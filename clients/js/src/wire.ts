/** What goes over the wire, and between the parts of the client. */
import type { State, TransportName } from "./types.js";

/** An object from the server; see docs/subscribing.md. */
export interface Wire {
  type: string;
  id?: string;
  content?: string;
  seq?: string;
  event?: string;
  code?: number;
  session?: string;
}

/** A change of channels on a connection that is held. */
export interface Op {
  op: "sub" | "unsub" | "ping";
  id?: string;
  since?: string;
  history?: number;
}

/** Why a connection ended, as far as a browser lets us see it. */
export interface Why {
  status?: number;
  content?: string;
  /** Milliseconds the server asks us to stay away. */
  after?: number;
  /** The server sent us away in good order, at a time it chose for us: no need to wait. */
  polite?: boolean;
}

/** What a transport is given: one attempt to hold one connection to one edge. */
export interface Line {
  /** The URL of a path with the channels, their positions and the token. */
  url(path: string, extra?: string): string;
  receive(objects: Wire[]): void;
  /** Something was heard, if only a heartbeat. */
  beat(): void;
  end(why: Why): void;
  /** Change channels by a request beside the held one. */
  post(ops: Op[]): void;
  /** The channels that `url` asked for, in its order. */
  asked: string[];
  /** The browser reconnects by itself; says whether to let it. */
  away(): boolean;
}

export interface Held {
  close(): void;
  send(ops: Op[]): void;
  ping?(): void;
  /** The browser hides its heartbeats from us. */
  deaf?: boolean;
}

export type Transport = (line: Line) => Held;

/** Who gets what a source has: the public object of this tab. */
export interface Sink {
  receive(objects: Wire[]): void;
  state(state: State): void;
  /** This tab's channels, and where it stands in each: "" is "from now on". */
  wants(): Record<string, string>;
}

/** Where a tab's messages come from: a connection of its own, or another tab's. */
export interface Source {
  want(id: string, since: string): void;
  drop(id: string): void;
  reconnect(): void;
  /** The user looks at the page: do not wait any longer. */
  wake(): void;
  close(): void;
}

export type { TransportName };
