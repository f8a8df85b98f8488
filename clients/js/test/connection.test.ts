/** How the client chooses, waits, renews and wakes: with a clock that only moves when told to. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Comet, type CometError, type Message, type Options } from "../src/index.js";
import { happen, install } from "./browser-parts.js";
import { FakeCluster } from "./fake.js";
import { channel, comet, contents } from "./suite.js";

let cluster: FakeCluster;

beforeEach(() => {
  vi.useFakeTimers();
  cluster = new FakeCluster();
  install(cluster);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
const asked = (): string[] => cluster.requests.map(({ pathname }) => pathname);

async function start(options: Options = {}, urls: string | string[] = cluster.urls[0]!) {
  const id = channel();
  const got: Message[] = [];
  const errors: CometError[] = [];
  const client = comet(urls, options);
  client.on("error", (error) => errors.push(error));
  client.subscribe(id, (message) => got.push(message));
  await pass(100);
  return { client, id, got, errors };
}

test("a transport that is not let through is left for the next, and the next page begins with what worked", async () => {
  cluster.edges[0]!.blocked = new Set(["ws", "sse"]);
  const { client } = await start();
  expect(client.state).toMatchObject({ state: "open", transport: "stream" });
  expect(asked()).toEqual(["/ws", "/sse", "/stream"]);
  client.close();
  cluster.requests = [];
  await start();
  expect(asked()).toEqual(["/stream"]);
});

test("a connection that says nothing in time is given up", async () => {
  cluster.edges[0]!.mute = true;
  const { client } = await start({ timeout: 2000 });
  expect(client.state.transport).toBe("ws");
  await pass(2000);
  expect(client.state).toMatchObject({ state: "open", transport: "sse" });
});

test("storage that throws is no hindrance", async () => {
  const refuse = (): never => {
    throw new Error("denied");
  };
  vi.stubGlobal("localStorage", { getItem: refuse, setItem: refuse });
  expect((await start()).client.state.state).toBe("open");
});

test("a better transport is tried again later and takes over without a loss", async () => {
  cluster.edges[0]!.blocked = new Set(["ws"]);
  const { client, id, got } = await start({ probe: 1000 });
  await cluster.publish(id, "1");
  expect(client.state.transport).toBe("sse");
  await pass(1600);
  expect(client.state.transport).toBe("sse");
  cluster.edges[0]!.blocked.clear();
  await cluster.publish(id, "2");
  await pass(3100);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
  await cluster.publish(id, "3");
  await pass(10);
  expect(contents(got)).toEqual(["1", "2", "3"]);
  expect(cluster.held).toBe(1);
});

test("while everything is down the tries become rare, and it comes back by itself", async () => {
  const { client, id, got } = await start({}, cluster.urls);
  for (const { url } of cluster.edges) await cluster.kill(url);
  await pass(600_000);
  expect(client.state.state).not.toBe("open");
  cluster.requests = [];
  await pass(600_000);
  expect(asked().length).toBeGreaterThan(20);
  expect(asked().length).toBeLessThan(1500); // ten at a time, every 15 s on average
  await cluster.publish(id, "late");
  await cluster.revive();
  await pass(31_000);
  expect(contents(got)).toEqual(["late"]);
});

test("a transport that has worked is tried again before a lesser one", async () => {
  const { client } = await start({ transports: ["ws", "poll"] });
  await cluster.kill(client.state.url!);
  await pass(250);
  await cluster.revive();
  await pass(2000);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
  expect(asked()).not.toContain("/poll");
});

test("Retry-After is waited for", async () => {
  cluster.edges[0]!.refuse = () => Response.json({ content: "full" }, { status: 503, headers: { "Retry-After": "7" } });
  const { client, errors } = await start({ transports: ["poll"] });
  await pass(6800);
  expect(asked()).toEqual(["/poll"]);
  expect(errors).toEqual([{ code: 503, content: "full", id: "" }]);
  cluster.edges[0]!.refuse = undefined;
  await pass(300);
  expect(client.state.state).toBe("open");
});

test("who is sent away politely comes back at once", async () => {
  const { client } = await start({ transports: ["ws"] });
  const before = client.state.session;
  cluster.drain(1012);
  await pass(1);
  expect(client.state.state).toBe("open");
  expect(client.state.session).not.toBe(before);
});

test.each(["ws", "stream"] as const)("a token that is refused on %s is renewed", async (transport) => {
  cluster.token = "second";
  const tokens = ["first", "second"];
  const { client } = await start({ transports: [transport], getToken: async () => tokens.shift()! });
  await pass(1000);
  expect(client.state.state).toBe("open");
  expect(cluster.requests.map(({ searchParams }) => searchParams.get("token"))).toEqual(["first", "second"]);
});

test("a failing getToken is told and tried again", async () => {
  const getToken = vi.fn().mockRejectedValueOnce(new Error("login first")).mockResolvedValue("good");
  const { client, errors } = await start({ getToken });
  expect(errors).toEqual([{ code: 401, content: "Error: login first", id: "" }]);
  await pass(1000);
  expect(client.state.state).toBe("open");
});

test("offline nothing is tried; online it goes on at once", async () => {
  const { client, id, got } = await start();
  vi.stubGlobal("navigator", { onLine: false });
  happen("offline");
  expect(client.state.state).toBe("offline");
  cluster.requests = [];
  await cluster.publish(id, "while away");
  await pass(120_000);
  expect(asked()).toEqual([]);
  vi.stubGlobal("navigator", { onLine: true });
  happen("online");
  await pass(10);
  expect(contents(got)).toEqual(["while away"]);
});

test.each([
  ["freeze", "resume"],
  ["pagehide", "pageshow"],
])("a page that is put away (%s) lets go, and goes on at once after %s", async (away, back) => {
  const { client, id, got } = await start();
  happen(away);
  expect(cluster.held).toBe(0);
  await cluster.publish(id, "while away");
  happen(back);
  await pass(10);
  expect(client.state.state).toBe("open");
  expect(contents(got)).toEqual(["while away"]);
});

test("a WebSocket that fell silent is asked, and left if it does not answer", async () => {
  const { client } = await start({ transports: ["ws"] });
  await pass(120_000);
  expect(cluster.requests.length).toBe(1); // it answered each time
  cluster.change = () => {};
  const before = client.state.session;
  await pass(40_000);
  expect(client.state.session).not.toBe(before);
});

test("a stream without heartbeats is left after a minute", async () => {
  await start({ transports: ["stream"] });
  await pass(55_000);
  expect(cluster.requests.length).toBe(1);
  await pass(20_000);
  expect(cluster.requests.length).toBe(2);
});

test("a refused channel is told by name, the others go on", async () => {
  const { client, id, got, errors } = await start();
  client.subscribe("bad name");
  await pass(10);
  await cluster.publish(id, "1");
  expect(errors).toEqual([{ code: 400, content: "id: ' ' is not allowed", id: "bad name" }]);
  expect(contents(got)).toEqual(["1"]);
});

test("a channel that is left and taken again in one turn begins anew", async () => {
  const { client, id, got } = await start();
  await cluster.publish(id, "1");
  client.unsubscribe(id);
  await cluster.publish(id, "2");
  client.subscribe(id, (message) => got.push(message));
  await pass(10);
  await cluster.publish(id, "3");
  await pass(10);
  expect(contents(got)).toEqual(["1", "3"]);
});

test("a listener that throws does not keep others from hearing", async () => {
  const { client, id, got } = await start();
  const loud: unknown[] = [];
  client.on("message", () => {
    throw new Error("oops");
  });
  client.on("message", (message) => loud.push(message.content));
  await cluster.publish(id, "1");
  expect(() => vi.runOnlyPendingTimers()).toThrow("oops");
  expect([contents(got), loud]).toEqual([["1"], ["1"]]);
});

test("listeners and subscriptions end alone, the connection with the last", async () => {
  const { client, id, got } = await start();
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  const more: Message[] = [];
  const end = client.subscribe(id, (message) => more.push(message));
  await cluster.publish(id, "1");
  end();
  await cluster.publish(id, "2");
  expect([contents(got), contents(more)]).toEqual([["1", "2"], ["1"]]);
  client.unsubscribe(id);
  await pass(10);
  expect([cluster.held, client.state.state]).toEqual([0, "idle"]);
  client.close();
  client.close();
  expect(states).toEqual(["idle", "closed", "closed"]);
});

test("an address may be relative to the page, with a slash at its end or not", async () => {
  vi.stubGlobal("location", { href: "http://a.test/page/" });
  const { client } = await start({}, "/");
  expect(client.state).toMatchObject({ state: "open", url: "http://a.test" });
  expect(new Comet("http://a.test/x/", { share: false }).state.state).toBe("idle");
});
