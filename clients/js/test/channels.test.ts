/** Changes of channels, and what their listeners are called with. */
import { expect, test, vi } from "vitest";
import type { Message } from "../src/index.js";
import { cluster, pass, requestedPaths, setNetwork, start } from "./clock.js";
import { channel, comet, contents } from "./suite.js";

test.each(["", "bad name", "a{b", "a!", "*", "tab\t", "\u2028", "\ud800", "ä".repeat(128)])(
  "%j is no legal channel: it is reported, and costs the others nothing",
  async (name) => {
    const { client, id, got, errors } = await start({ transports: ["poll"] });
    client.subscribe(name);
    client.subscribe("ä".repeat(127) + "\ufeff".slice(1)); // 254 bytes
    await pass(10);
    await cluster.publish(id, "1");
    await pass(10);
    expect(errors).toEqual([{ code: 400, content: "bad id or since", id: name }]);
    expect(contents(got)).toEqual(["1"]);
    expect(Object.keys(client.positions)).not.toContain(name);
  },
);

test("an illegal position is reported", async () => {
  const { client, errors } = await start({ since: { other: "yesterday" } });
  client.subscribe("other");
  await pass(10);
  expect(errors).toMatchObject([{ code: 400, id: "other" }]);
});

test("one connection has at most as many channels as a server accepts", async () => {
  const { client, errors } = await start({ transports: ["poll"] });
  for (let number = 0; number < 128; number++) client.subscribe("more-" + number);
  await pass(10);
  expect(errors).toEqual([{ code: 400, content: "too many channels", id: "more-127" }]);
  expect(client.state.state).toBe("open");
});

test.each(["ws", "sse", "stream"] as const)("a channel that is refused on %s is reported and left out", async (transport) => {
  const { client, id, got, errors } = await start({ transports: [transport] });
  const forbidden = "forbidden" + "x".repeat(100);
  cluster.refuse = (name) => (name === forbidden ? { code: 403, content: "not yours" } : undefined);
  client.subscribe(forbidden);
  client.subscribe("other");
  await pass(10);
  await cluster.publish(id, "1");
  expect(errors).toEqual([{ code: 403, content: "not yours", id: forbidden }]);
  client.reconnect();
  await pass(10);
  expect(cluster.requests.at(-1)!.searchParams.getAll("id")).toEqual([id, "other"]);
  expect(contents(got)).toEqual(["1"]);
});

test("a channel that is not available now is tried again later", async () => {
  const { client, errors } = await start({ transports: ["ws"] });
  const refuse = (cluster.refuse = vi.fn(() => ({ code: 503, content: "this edge cannot reach Redis now; try again" })));
  client.subscribe("later");
  await pass(20_000);
  expect(errors.length).toBe(refuse.mock.calls.length);
  expect(errors.length).toBeGreaterThan(2);
  expect(errors.length).toBeLessThan(20);
  cluster.refuse = undefined;
  await pass(31_000);
  expect(client.positions["later"]).toBeTruthy();
  expect(cluster.requests.length).toBe(1);
});

test("a refusal of a request that was replaced is no error", async () => {
  const { client, errors } = await start({ transports: ["stream"] });
  const overtaken = { code: 409, content: "the channel was given up before it was ready" };
  cluster.refuse = vi.fn().mockReturnValueOnce(overtaken);
  const posted = cluster.hold();
  client.subscribe("hasty");
  await pass(1);
  client.unsubscribe("hasty");
  client.subscribe("hasty");
  await pass(1);
  posted();
  await pass(1);
  expect(cluster.refuse).toHaveBeenCalledTimes(2);
  expect(errors).toEqual([]);
  expect(client.positions["hasty"]).toBeTruthy();
});

test.each(["sse", "stream"] as const)("changes of channels on %s do not overtake each other", async (transport) => {
  const { client, id, got } = await start({ transports: [transport] });
  const posts = vi.spyOn(cluster, "change");
  const posted = cluster.hold();
  for (const name of ["one", "two", "three"]) {
    client.subscribe(name);
    await pass(1);
  }
  client.unsubscribe("two");
  await pass(1);
  expect(requestedPaths().filter((path) => path === "/sub").length).toBe(1);
  posted();
  await pass(1);
  const ops = posts.mock.calls.flatMap(([, ops]) => ops.map(({ op, id }) => `${op} ${id}`));
  expect(ops).toEqual(["sub one", "sub two", "sub three", "unsub two"]);
  await cluster.publish(id, "1");
  expect(contents(got)).toEqual(["1"]);
  expect(Object.keys(client.positions)).toEqual([id, "one", "three"]);
});

test.each(["sse", "stream"] as const)("a session on %s stands in no address, unless an edge is of the version before", async (transport) => {
  const { client, id } = await start({ transports: [transport] });
  const posted = (): string[] => requestedPaths().filter((path) => path.startsWith("/sub"));
  client.subscribe("one");
  await pass(10);
  expect(posted()).toEqual(["/sub"]);
  cluster.edges[0]!.old = true;
  client.subscribe("two");
  await pass(10);
  client.unsubscribe("one");
  await pass(10);
  const { session } = client.state;
  expect(posted()).toEqual(["/sub", "/sub", "/sub/" + session, "/sub/" + session]);
  expect(Object.keys(client.positions)).toEqual([id, "two"]);
  expect(client.positions["two"]).toBeTruthy();
});

test.each([404, 405])("an edge that has nothing at /sub for a POST (%d) is asked at the path of the session", async (status) => {
  const { client } = await start({ transports: ["stream"] });
  const { session } = client.state;
  cluster.edges[0]!.refuse = vi.fn().mockReturnValueOnce(new Response("{}", { status }));
  client.subscribe("one");
  await pass(10);
  expect(requestedPaths()).toEqual(["/stream", "/sub", "/sub/" + session]);
  expect(client.state).toMatchObject({ state: "open", session });
});

test("many changes at once are sent in messages that a server accepts", async () => {
  const { client } = await start({ transports: ["ws"] });
  const sent = vi.spyOn(cluster, "change");
  for (let number = 0; number < 100; number++) client.subscribe(String(number).padEnd(255, "x"));
  await pass(10);
  const sizes = sent.mock.calls.map(([, ops]) => JSON.stringify(ops).length);
  expect(sizes.length).toBeGreaterThan(1);
  expect(Math.max(...sizes)).toBeLessThan(16_384);
  expect(sent.mock.calls.flatMap(([, ops]) => ops).length).toBe(100);
});

test("a channel that is left and subscribed to again in one turn begins anew", async () => {
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

test("a listener that ends a subscription, or the client, ends it at once", async () => {
  const id = channel();
  for (const content of ["1", "2", "3", "4"]) await cluster.publish(id, content);
  const client = comet(cluster.urls[0]!, { transports: ["stream"], history: 4 }); // so that they come together
  const [all, some, none]: string[][] = [[], [], []];
  client.on("message", ({ content }) => {
    all!.push(content);
    if (content === "2") end();
    if (content === "3") client.close();
  });
  client.subscribe(id, ({ content }) => content === "1" && client.unsubscribe(id, third));
  const end = client.subscribe(id, ({ content }) => some!.push(content));
  const third = ({ content }: Message): unknown => none!.push(content);
  client.subscribe(id, third);
  await pass(10);
  expect([all, some, none]).toEqual([["1", "2", "3"], ["1", "2"], []]);
});

test.each(["connecting", "open", "waiting", "offline"])("a client that is closed in a listener of the state %s does nothing more", async (which) => {
  const { client } = await start({ transports: ["sse"] });
  const states: string[] = [];
  client.on("state", ({ state }) => {
    states.push(state);
    if (state === which) client.close();
  });
  if (which === "offline") setNetwork("offline");
  cluster.requests = [];
  cluster.drain(1006);
  await pass(10_000);
  expect(states.slice(-2)).toEqual(expect.arrayContaining([which, "closed"]));
  const asked = cluster.requests.length;
  await pass(60_000);
  expect([cluster.requests.length, cluster.held]).toEqual([asked, 0]);
});

test("a function that is given twice is called once; ending a subscription without a function leaves it", async () => {
  const { client, id, got } = await start();
  const fn = vi.fn();
  client.subscribe(id, fn);
  client.subscribe(id, fn);
  client.subscribe(id)();
  await cluster.publish(id, "1");
  expect(fn).toHaveBeenCalledOnce();
  expect(contents(got)).toEqual(["1"]);
});

test("a listener that throws does not keep others from being called", async () => {
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

test("listeners and subscriptions end one by one, the connection with the last", async () => {
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
