/** The transports, best first. */
export type TransportName = "ws" | "sse" | "stream" | "poll" | "jsonp";
/** One message of a channel. A message without `seq` has no position: it was live only. */
export interface Message {
    id: string;
    content: string;
    seq?: string;
    event?: string;
}
/** Something of this channel is missing and cannot be had any more: load your state again, then go on. */
export interface Reset {
    id: string;
    seq?: string;
}
/** What the server refused, or what failed in the network or in `getToken`. */
export interface CometError {
    code?: number;
    content: string;
    id?: string;
}
/** The state of the connection. `session` begins with the id of the edge that serves it, up to the first dot. */
export interface State {
    state: "idle" | "connecting" | "open" | "waiting" | "offline" | "closed";
    transport?: TransportName;
    url?: string;
    session?: string;
    /** Another tab holds the connection for this one. */
    shared?: boolean;
}
export interface Events {
    open: State;
    state: State;
    message: Message;
    reset: Reset;
    error: CometError;
}
export interface Options {
    /** Channels to hold from the start; their messages go to `on("message")`. */
    channels?: string[];
    /** Positions to go on from, by channel; `"0"` is the oldest that is kept. */
    since?: Record<string, string>;
    /** How many of its last messages a channel without a position begins with. */
    history?: number;
    token?: string;
    /** Called for the first token if there is no `token`, for another before that ends, and when the server refuses one. */
    getToken?: () => string | Promise<string>;
    /** The transports that may be used, best first. */
    transports?: TransportName[];
    /** One connection for all tabs with the same URL and token; tabs with different names do not share. */
    share?: boolean | string;
    /** Milliseconds within which a transport must show that it works. */
    timeout?: number;
    /** Milliseconds after which a better transport is tried again; doubles with each failure. */
    probe?: number;
}
type Listener<T> = (value: T) => void;
/** A subscriber: one connection to the cluster, over the best transport that gets through. */
export declare class Comet {
    /** `url` is the address of the edges, or several addresses, which are tried in this order. */
    constructor(url: string | string[], options?: Options);
    /** The state of the connection. */
    get state(): State;
    /** The position of this page in each channel: what to give as `since` another time. */
    get positions(): Record<string, string>;
    /** Call `fn` for each message of a channel; returns a function that ends it. */
    subscribe(id: string, fn?: Listener<Message>): () => void;
    /** End one function's subscription, or all of a channel; the channel is left with the last. */
    unsubscribe(id: string, fn?: Listener<Message>): void;
    /** Listen to an event; returns a function that ends it. */
    on<K extends keyof Events>(name: K, fn: Listener<Events[K]>): () => void;
    /** Drop the connection and make another, from the same positions. */
    reconnect(): void;
    /** End for good. */
    close(): void;
    /** Listen to events of the window and, as it captures them, of the document. */
}
