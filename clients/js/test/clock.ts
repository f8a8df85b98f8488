/** A page and a fake cluster for each test, with a clock that moves only by `pass`. */
import { afterEach, beforeEach, expect, vi } from "vitest";
import type { CometError, Message, Options } from "../src/index.js";
import { firePageEvent, install } from "./browser-parts.js";
import { FakeCluster } from "./fake.js";
import { channel, comet } from "./suite.js";

export let cluster: FakeCluster;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
  cluster = new FakeCluster();
  install(cluster);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** One turn of the real event loop. */
function turn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise<void>((done) => {
    port1.onmessage = () => done();
    port2.postMessage("");
  }).finally(() => port1.close());
}

/** Let time pass; real turns too, since a browser reads the body of an answer in those. */
export async function pass(milliseconds: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
  for (let turns = 0; turns < 10; turns++) await turn();
}

export const requestedPaths = (): string[] => cluster.requests.map(({ pathname }) => pathname);

/** Have the browser report that the network is there, or not. */
export function setNetwork(which: "online" | "offline"): void {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(which === "online");
  firePageEvent(which);
}

/** A client with one channel, the messages that it got, and its errors. */
export async function start(options: Options = {}, urls: string | string[] = cluster.urls[0]!) {
  const id = channel();
  const got: Message[] = [];
  const errors: CometError[] = [];
  const client = comet(urls, options);
  client.on("error", (error) => errors.push(error));
  client.subscribe(id, (message) => got.push(message));
  await pass(100);
  return { client, id, got, errors };
}

/** Let time pass until something holds; in small steps if a browser's locks and broadcasts, in real time, take part. */
export async function within(milliseconds: number, look: () => unknown, step = 100): Promise<void> {
  for (let passed = 0; passed < milliseconds && !look(); passed += step) await pass(step);
  expect(look()).toBeTruthy();
}
