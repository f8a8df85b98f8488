import { afterEach, beforeEach, vi } from "vitest";
import { install } from "./browser-parts.js";
import { FakeCluster } from "./fake.js";
import { suite } from "./suite.js";

const cluster = new FakeCluster();

beforeEach(() => install(cluster));
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

suite(cluster, ["ws", "sse", "stream", "poll", "jsonp"]);
