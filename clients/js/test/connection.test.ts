/** How the client chooses, waits and renews. */
import { expect, test, vi } from "vitest";
import { Comet } from "../src/index.js";
import { cluster, pass, requestedPaths, start, within } from "./clock.js";
import { contents } from "./suite.js";

test("a transport that does not get through gives way to the next, and the next page begins with the one that worked", async () => {
  cluster.edges[0]!.blocked = new Set(["ws", "sse"]);
  const { client } = await start();
  expect(client.state).toMatchObject({ state: "open", transport: "stream" });
  expect(requestedPaths()).toEqual(["/ws", "/sse", "/stream"]);
  client.close();
  cluster.requests = [];
  await start();
  expect(requestedPaths()).toEqual(["/stream"]);
});

test("a connection that receives nothing in time is given up", async () => {
  cluster.edges[0]!.mute = true;
  const { client } = await start({ timeout: 2000 });
  expect(client.state.transport).toBe("ws");
  await pass(2000);
  expect(client.state).toMatchObject({ state: "open", transport: "sse" });
});

test("the client works where storage throws", async () => {
  const refuse = (): never => {
    throw new Error("denied");
  };
  vi.stubGlobal("localStorage", { getItem: refuse, setItem: refuse });
  expect((await start()).client.state.state).toBe("open");
});

test("a better transport is tried again later and takes over without losing a message", async () => {
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

test("while everything is down the tries become rare, and the client comes back by itself", async () => {
  const { client, id, got } = await start({}, cluster.urls);
  for (const { url } of cluster.edges) await cluster.kill(url);
  await pass(600_000);
  expect(client.state.state).not.toBe("open");
  cluster.requests = [];
  await pass(600_000);
  expect(requestedPaths().length).toBeGreaterThan(20);
  expect(requestedPaths().length).toBeLessThan(1500); // ten at a time, every 15 s on average
  await cluster.publish(id, "late");
  await cluster.revive();
  await within(35_000, () => got.length);
  expect(contents(got)).toEqual(["late"]);
});

test("a transport that has worked is tried again before a lesser one", async () => {
  const { client } = await start({ transports: ["ws", "poll"] });
  await cluster.kill(client.state.url!);
  await pass(250);
  await cluster.revive();
  await pass(2000);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
  expect(requestedPaths()).not.toContain("/poll");
});

test("the client waits for Retry-After", async () => {
  cluster.edges[0]!.refuse = () => Response.json({ content: "full" }, { status: 503, headers: { "Retry-After": "7" } });
  const { client, errors } = await start({ transports: ["poll"] });
  await pass(6800);
  expect(requestedPaths()).toEqual(["/poll"]);
  expect(errors).toEqual([{ code: 503, content: "full", id: "" }]);
  cluster.edges[0]!.refuse = undefined;
  await within(400, () => client.state.state === "open");
});

test("a client that a drain closes reconnects at once", async () => {
  const { client } = await start({ transports: ["ws"] });
  const before = client.state.session;
  cluster.drain(1012);
  await pass(1);
  expect(client.state.state).toBe("open");
  expect(client.state.session).not.toBe(before);
});

test("after an outage of all edges the best transport is used again", async () => {
  const { client } = await start({}, cluster.urls);
  for (const { url } of cluster.edges) await cluster.kill(url);
  await pass(600_000);
  expect(requestedPaths().filter((path) => path === "/ws").length).toBeGreaterThan(requestedPaths().length / 3);
  await cluster.revive();
  await within(35_000, () => client.state.state === "open" && client.state.transport === "ws");
});

test("the transport that worked before a lesser one took over is tried again soon", async () => {
  const { client } = await start();
  cluster.edges[0]!.blocked = new Set(["ws"]);
  cluster.drain(1006);
  await within(10_000, () => client.state.state === "open");
  expect(client.state.transport).toBe("sse");
  cluster.edges[0]!.blocked.clear();
  await pass(1600);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
});

test.each(["ws", "stream"] as const)("a token that is refused on %s is renewed", async (transport) => {
  cluster.token = "second";
  const tokens = ["first", "second"];
  const { client } = await start({ transports: [transport], getToken: async () => tokens.shift()! });
  await pass(1000);
  expect(client.state.state).toBe("open");
  expect(cluster.requests.map(({ searchParams }) => searchParams.get("token"))).toEqual(["first", "second"]);
});

test("a getToken that fails is reported and tried again", async () => {
  const getToken = vi.fn().mockRejectedValueOnce(new Error("login first")).mockResolvedValue("good");
  const { client, errors } = await start({ getToken });
  expect(errors).toEqual([{ code: 401, content: "Error: login first", id: "" }]);
  await pass(1000);
  expect(client.state.state).toBe("open");
});

test("a getToken that throws, or never answers, is reported and tried again", async () => {
  const getToken = vi
    .fn()
    .mockImplementationOnce(() => {
      throw new Error("oops");
    })
    .mockReturnValueOnce(new Promise(() => {}))
    .mockReturnValue("good");
  const { client, errors } = await start({ getToken });
  await pass(1000);
  client.reconnect();
  client.subscribe("other");
  await pass(10);
  expect(getToken).toHaveBeenCalledTimes(2); // not once more while one is awaited
  await pass(32_000);
  expect(errors.map(({ content }) => content)).toEqual(["Error: oops", "no token"]);
  expect(client.state.state).toBe("open");
});

test.each(["resolve", "reject"] as const)("nothing follows when the client is closed while getToken runs (%s)", async (end) => {
  let settle = (): void => {};
  const getToken = (): Promise<string> =>
    new Promise((resolve, reject) => (settle = () => ({ resolve, reject })[end]("token")));
  const { client, errors } = await start({ getToken });
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  client.close();
  settle();
  await pass(60_000);
  expect([states, errors, requestedPaths()]).toEqual([["closed"], [], []]);
});

test("an address may be relative to the page, with a slash at its end or not", async () => {
  if (!globalThis.location) vi.stubGlobal("location", new URL("http://a.test/page/"));
  const { origin } = location;
  cluster.edges[0]!.url = origin;
  const { client } = await start({}, "/");
  expect(client.state).toMatchObject({ state: "open", url: origin });
  expect(new Comet(origin + "/x/", { share: false }).state.state).toBe("idle");
});
