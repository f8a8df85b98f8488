/** The network interfaces of a browser, connected to a fake cluster; in Node also the parts of a browser that Node lacks. */
import { vi } from "vitest";
import type { ServerObject } from "../src/wire.js";
import type { FakeCluster } from "./fake.js";

export function install(cluster: FakeCluster): void {
  vi.stubGlobal("fetch", cluster.fetch);
  vi.stubGlobal("WebSocket", socketOf(cluster));
  vi.stubGlobal("EventSource", sourceOf(cluster));
  if (globalThis.document) inBrowser(cluster);
  else inNode(cluster);
}

/** Only script tags are replaced; the rest of the page is real. */
function inBrowser(cluster: FakeCluster): void {
  const append = document.head.append.bind(document.head);
  localStorage.clear();
  vi.spyOn(document.head, "append").mockImplementation((node) => {
    if (node instanceof HTMLScriptElement) queueMicrotask(() => void runScript(cluster, node));
    else append(node);
  });
}

function inNode(cluster: FakeCluster): void {
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  vi.stubGlobal("dispatchEvent", page.dispatchEvent.bind(page));
  vi.stubGlobal("navigator", { get onLine() { return true; }, locks: new Locks() });
  vi.stubGlobal("localStorage", new Storage());
  vi.stubGlobal("document", {
    hidden: false,
    createElement: () => ({ remove: () => {} }),
    head: { append: (script: HTMLScriptElement) => queueMicrotask(() => void runScript(cluster, script)) },
  });
}

/** Fire an event of the page: `offline`, `freeze`, `resume` and so on. */
export const firePageEvent = (name: string): void => void dispatchEvent(new Event(name));

class Storage {
  private _items = new Map<string, string>();
  getItem = (key: string): string | null => this._items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this._items.set(key, value);
}

/** Web Locks: each name has one holder; further requests wait in line. */
class Locks {
  private _lines = new Map<string, Promise<unknown>>();

  request(name: string, options: { signal: AbortSignal }, use: () => unknown): Promise<unknown> {
    const turn = (this._lines.get(name) ?? Promise.resolve()).then(() => options.signal.aborted || use());
    this._lines.set(name, turn.catch(() => {}));
    return turn;
  }
}

const http = (url: string): URL => new URL(url.replace(/^ws/, "http"));

function socketOf(cluster: FakeCluster): unknown {
  return class {
    onmessage?: (event: { data: string }) => void;
    onclose?: ((event: { code: number }) => void) | null;
    private _session = "";

    constructor(url: string) {
      queueMicrotask(() => {
        try {
          if (cluster.reach("ws", http(url)).mute) return;
          this._session = cluster.attach(http(url), this._tell, this._cut);
        } catch {
          this._cut();
        }
      });
    }

    send(text: string): void {
      const value = JSON.parse(text);
      cluster.change(this._session, [value].flat());
    }

    close(): void {
      cluster.leave(this._session);
    }

    private _tell = (objects: ServerObject[]): void => {
      for (const object of objects) this.onmessage?.({ data: JSON.stringify(object) });
    };

    private _cut = (code = 1006): void => {
      cluster.leave(this._session);
      this.onclose?.({ code });
    };
  };
}

/** An EventSource. It reconnects by itself after 10 ms, as a browser's does after `retry:`, unless it is closed. */
function sourceOf(cluster: FakeCluster): unknown {
  return class extends EventTarget {
    onopen?: () => void;
    readyState: number = 0;
    private _session = "";
    private _url: URL;

    constructor(url: string) {
      super();
      this._url = http(url);
      queueMicrotask(() => this._open());
    }

    close(): void {
      this.readyState = 2;
      cluster.leave(this._session);
    }

    private _open(): void {
      if (this.readyState === 2) return;
      try {
        const edge = cluster.reach("sse", this._url);
        if (this._url.searchParams.get("envelope") !== "1") throw new Error("events of other names would be lost");
        this.onopen?.();
        if (edge.full) return this._fail();
        this._session = cluster.attach(this._url, this._tell, this._cut);
        if (this.readyState === 2) cluster.leave(this._session); // a listener has closed it
        else this.readyState = 1;
      } catch {
        this._fail();
      }
    }

    private _tell = (objects: ServerObject[]): void => {
      for (const object of objects) {
        const data = object.type === "heartbeat" ? "" : JSON.stringify(object);
        const wanted = object.type !== "heartbeat" || this._url.searchParams.get("heartbeat") === "event";
        if (wanted) this.dispatchEvent(new MessageEvent(object.type === "data" ? "message" : object.type, { data }));
      }
    };

    private _cut = (): void => {
      cluster.leave(this._session);
      this._fail();
    };

    private _fail(): void {
      if (this.readyState === 2) return;
      this.readyState = 0;
      this.dispatchEvent(new Event("error"));
      setTimeout(() => this.readyState === 0 && this._open(), 10);
    }
  };
}

async function runScript(cluster: FakeCluster, script: HTMLScriptElement): Promise<void> {
  const url = new URL(script.src);
  try {
    cluster.reach("jsonp", url);
    const answer = await cluster.poll(url);
    (globalThis as unknown as Record<string, (value: unknown) => void>)[url.searchParams.get("callback")!]!(answer);
  } catch {
    script.onerror!("");
  }
}
