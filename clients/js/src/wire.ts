/** The objects on the wire, and the interfaces between the parts of the client. */
import type { State, TransportName } from "./types.js";

/** An object from the server; see docs/subscribing.md. */
export interface ServerObject {
  type: string;
  id?: string;
  content?: string;
  seq?: string;
  event?: string;
  code?: number;
  op?: string;
  session?: string;
  /** The `ref` of the operation that this object answers. */
  ref?: number;
}

/** A change of channels on a connection that is held, or a fresh token for it. */
export interface Operation {
  op: "sub" | "unsub" | "ping" | "token";
  id?: string;
  since?: string;
  history?: number;
  ref?: number;
  token?: string;
}

/** Why a connection ended, as far as a browser shows it. */
export interface EndReason {
  /** The HTTP status. */
  status?: number;
  content?: string;
  /** Milliseconds to wait before the next try, as the server asks. */
  retryAfter?: number;
  /** The server chose the time of this end, so the next try needs no pause. */
  retryNow?: boolean;
}

/** What a transport is given: the link that it opens to one edge. */
export interface TransportLink {
  /** The URL of `path` with the wanted channels, their positions and the token; it sets `requested`. */
  attachUrl(path: string, extra?: string): string;
  receive(objects: ServerObject[]): void;
  /** Something arrived, perhaps only a heartbeat; `grace` is how many milliseconds longer than usual silence may follow. */
  noteActivity(grace?: number): void;
  end(reason: EndReason): void;
  /** The channels in the last `attachUrl`, in its order, with the positions that it sent. */
  requested: Map<string, string>;
}

/** The connection that a transport holds. */
export interface HeldConnection {
  close(): void;
  /** Change channels on the connection itself; a transport without it has its changes posted. */
  changeChannels?(operations: Operation[]): void;
  /** Make the server answer; a transport without it cannot be asked. */
  ping?(): void;
}

export type Transport = (link: TransportLink) => HeldConnection;

/** What a source delivers to: the public object of this tab. */
export interface Sink {
  receive(objects: ServerObject[]): void;
  setState(state: State): void;
  /** The channels of this tab, and its position in each; "" is "from now on". */
  wantedChannels(): Record<string, string>;
}

/** Events of the page by their DOM names, and `reconnect`, which the application calls. */
export type PageEvent = "visibilitychange" | "online" | "offline" | "reconnect";

/** Where the messages of a tab come from: its own connection, or another tab's. */
export interface Source {
  addChannel(id: string, since?: string): void;
  removeChannel(id: string): void;
  /** The connection may have changed, or the application wants another one. */
  onPageEvent(event: PageEvent): void;
  close(): void;
}

export type { TransportName };
