/** Several clients on one page, which are to Web Locks and BroadcastChannel what several tabs are. */
import { afterEach, beforeEach, vi } from "vitest";
import type { Comet, Message, Options } from "../src/index.js";
import { install } from "./browser-parts.js";
import { FakeCluster } from "./fake.js";
import { comet, until } from "./suite.js";

export let cluster: FakeCluster;

beforeEach(() => {
  cluster = new FakeCluster();
  install(cluster);
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

export async function tab(id: string, options: Options = {}): Promise<{ client: Comet; got: Message[] }> {
  const client = comet(cluster.urls, { share: true, ...options });
  const got: Message[] = [];
  client.subscribe(id, (message) => got.push(message));
  await until(() => client.state.state === "open" && client.positions[id]);
  return { client, got };
}
