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
  op?: string;
  session?: string;
  /** That of the operation which this answers. */
  ref?: number;
}

/** A change of channels on a connection that is held. */
export interface Op {
  op: "sub" | "unsub" | "ping";
  id?: string;
  since?: string;
  history?: number;
  ref?: number;
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
  /** Something was heard, if only a heartbeat; `trust` is how much longer than usual silence may follow. */
  beat(trust?: number): void;
  end(why: Why): void;
  /** The channels that `url` asked for, in its order, with the positions that it sent. */
  asked: Map<string, string>;
}

export interface Held {
  close(): void;
  /** Change channels; where that is not possible it is done by requests beside the held one. */
  send?(ops: Op[]): void;
  ping?(): void;
}

export type Transport = (line: Line) => Held;

/** Who gets what a source has: the public object of this tab. */
export interface Sink {
  receive(objects: Wire[]): void;
  state(state: State): void;
  /** This tab's channels, and where it stands in each: "" is "from now on". */
  wants(): Record<string, string>;
}

/** Events of the page, by their names: the user looks at it, or the browser guesses something of the network. */
export type Waking = "visibilitychange" | "online" | "offline" | "reconnect";

/** Where a tab's messages come from: a connection of its own, or another tab's. */
export interface Source {
  want(id: string, since?: string): void;
  drop(id: string): void;
  /** Something happened that may change how the connection is, or the user wants another. */
  wake(why: Waking): void;
  close(): void;
}

export type { TransportName };
