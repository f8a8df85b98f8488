/** How the client chooses, waits, renews and wakes: with a clock that only moves when told to. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Comet, type CometError, type Message, type Options } from "../src/index.js";
import { happen, install } from "./browser-parts.js";
import { FakeCluster } from "./fake.js";
import { channel, comet, contents } from "./suite.js";

let cluster: FakeCluster;

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

const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
const asked = (): string[] => cluster.requests.map(({ pathname }) => pathname);

/** The browser says that the network is there, or not. */
function goes(which: "online" | "offline"): void {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(which === "online");
  happen(which);
}

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

test("what the browser says of the network is a hint: a connection that works is kept", async () => {
  const { client } = await start();
  goes("offline");
  await pass(10);
  expect([client.state.state, asked()]).toEqual(["open", ["/ws"]]);
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  cluster.change = () => {}; // now it is true: nothing is answered
  goes("offline");
  await pass(4900);
  expect(states).toEqual([]);
  await pass(200);
  expect(states[0]).toBe("offline");
});

test("offline is shown, and it is tried all the same; online at once", async () => {
  const { client, id, got } = await start();
  goes("offline");
  await cluster.kill(client.state.url!);
  await pass(120_000);
  expect(client.state.state).toBe("offline");
  expect(asked().length).toBeGreaterThan(5);
  await cluster.publish(id, "while away");
  await cluster.revive();
  goes("online");
  await pass(1);
  expect([client.state.state, contents(got)]).toEqual(["open", ["while away"]]);
});

test("a WebSocket that answers is kept when the network is back", async () => {
  const { client } = await start();
  goes("online");
  await pass(60_000);
  expect([client.state.state, asked()]).toEqual(["open", ["/ws"]]);
});

test("a machine that believes to be offline connects", async () => {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  expect((await start()).client.state.state).toBe("open");
});

test("when the page is looked at it does not wait any longer", async () => {
  const { client } = await start();
  await cluster.kill(client.state.url!);
  await pass(600_000);
  await cluster.revive();
  cluster.requests = [];
  (document instanceof EventTarget ? document : globalThis).dispatchEvent(new Event("visibilitychange"));
  await pass(1);
  expect(asked().length).toBe(1);
  expect(client.state.state).toBe("open");
});

test("a transport that cannot ask is made anew when the network is back", async () => {
  const { client } = await start({ transports: ["stream"] });
  const before = client.state.session;
  goes("online");
  await pass(10);
  expect(client.state).toMatchObject({ state: "open", transport: "stream" });
  expect(client.state.session).not.toBe(before);
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

test("Server-Sent Events without heartbeats are left after a minute, if it is known that there are some", async () => {
  const { client } = await start({ transports: ["sse"] });
  cluster.beat();
  await pass(55_000);
  expect(asked().length).toBe(1);
  await pass(20_000);
  expect(asked().length).toBe(2);
  expect(client.state.state).toBe("open");
  await pass(250_000); // none was heard on this one
  expect(asked().length).toBe(2);
  await pass(70_000);
  expect(asked().length).toBe(3);
});

test("an EventSource does not reconnect by itself: it is made anew, from our place, at the next edge", async () => {
  const { client, id, got } = await start({ transports: ["sse"] }, cluster.urls);
  await cluster.publish(id, "1");
  cluster.drain(0);
  await cluster.publish(id, "2");
  await pass(1000);
  expect(cluster.requests.map(({ host }) => host)).toEqual(["a.test", "b.test"]);
  expect(cluster.requests[1]!.searchParams.get("since")).toBe(got[0]!.seq);
  expect([contents(got), client.state.state, cluster.held]).toEqual([["1", "2"], "open", 1]);
});

test("an EventSource that is only told to come back later waits for 1 to 5 seconds", async () => {
  cluster.edges[0]!.full = true;
  const { client } = await start({ transports: ["sse"] });
  await pass(850);
  expect(asked().length).toBe(1);
  cluster.edges[0]!.full = false;
  await pass(4200);
  expect(client.state.state).toBe("open");
});

test.each(["", "bad name", "a{b", "a!", "*", "tab\t", "\u2028", "\ud800", "ä".repeat(128)])(
  "%j can be no channel: it is told, and costs the others nothing",
  async (name) => {
    const { client, id, got, errors } = await start({ transports: ["poll"] });
    client.subscribe(name);
    client.subscribe("ä".repeat(127) + "\ufeff".slice(1)); // 254 bytes
    await pass(10);
    await cluster.publish(id, "1");
    await pass(10);
    expect(errors).toEqual([{ code: 400, content: "no channel name or position", id: name }]);
    expect(contents(got)).toEqual(["1"]);
    expect(Object.keys(client.positions)).not.toContain(name);
  },
);

test("a position that cannot be one is told, too", async () => {
  const { client, errors } = await start({ since: { other: "yesterday" } });
  client.subscribe("other");
  await pass(10);
  expect(errors).toMatchObject([{ code: 400, id: "other" }]);
});

test("one connection has no more channels than a server takes", async () => {
  const { client, errors } = await start({ transports: ["poll"] });
  for (let number = 0; number < 128; number++) client.subscribe("more-" + number);
  await pass(10);
  expect(errors).toEqual([{ code: 400, content: "too many channels", id: "more-127" }]);
  expect(client.state.state).toBe("open");
});

test.each(["ws", "sse", "stream"] as const)("a channel that is refused on %s is told and left out", async (transport) => {
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

test("a channel that cannot be had now is tried again later", async () => {
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

test("a refusal that nobody waits for any more is no error", async () => {
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
  expect(asked().filter((path) => path.startsWith("/sub/")).length).toBe(1);
  posted();
  await pass(1);
  const ops = posts.mock.calls.flatMap(([, ops]) => ops.map(({ op, id }) => `${op} ${id}`));
  expect(ops).toEqual(["sub one", "sub two", "sub three", "unsub two"]);
  await cluster.publish(id, "1");
  expect(contents(got)).toEqual(["1"]);
  expect(Object.keys(client.positions)).toEqual([id, "one", "three"]);
});

test("many changes at once are sent in messages that a server takes", async () => {
  const { client } = await start({ transports: ["ws"] });
  const sent = vi.spyOn(cluster, "change");
  for (let number = 0; number < 100; number++) client.subscribe(String(number).padEnd(255, "x"));
  await pass(10);
  const sizes = sent.mock.calls.map(([, ops]) => JSON.stringify(ops).length);
  expect(sizes.length).toBeGreaterThan(1);
  expect(Math.max(...sizes)).toBeLessThan(16_384);
  expect(sent.mock.calls.flatMap(([, ops]) => ops).length).toBe(100);
});

test("after an outage of everything the best transport is used again", async () => {
  const { client } = await start({}, cluster.urls);
  for (const { url } of cluster.edges) await cluster.kill(url);
  await pass(600_000);
  expect(asked().filter((path) => path === "/ws").length).toBeGreaterThan(asked().length / 3);
  await cluster.revive();
  await pass(35_000);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
});

test("what worked before a lesser transport took over is tried again soon", async () => {
  const { client } = await start();
  cluster.edges[0]!.blocked = new Set(["ws"]);
  cluster.drain(1006);
  await vi.waitFor(() => expect(client.state).toMatchObject({ state: "open", transport: "sse" }), 10_000);
  cluster.edges[0]!.blocked.clear();
  await pass(1600);
  expect(client.state).toMatchObject({ state: "open", transport: "ws" });
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

test("a getToken that throws, or never answers, is told and tried again", async () => {
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
  expect(errors.map(({ content }) => content)).toEqual(["Error: oops", "getToken: no answer"]);
  expect(client.state.state).toBe("open");
});

test.each(["resolve", "reject"] as const)("nothing follows when it is closed while getToken works (%s)", async (end) => {
  let settle = (): void => {};
  const getToken = (): Promise<string> =>
    new Promise((resolve, reject) => (settle = () => ({ resolve, reject })[end]("token")));
  const { client, errors } = await start({ getToken });
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  client.close();
  settle();
  await pass(60_000);
  expect([states, errors, asked()]).toEqual([["closed"], [], []]);
});

test("who ends a subscription, or everything, in a listener hears nothing more of it", async () => {
  const id = channel();
  for (const content of ["1", "2", "3", "4"]) await cluster.publish(id, content);
  const client = comet(cluster.urls[0]!, { transports: ["stream"], history: 4 }); // so they come together
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

test.each(["connecting", "open", "waiting", "offline"])("who closes when the state is %s hears nothing more", async (which) => {
  const { client } = await start({ transports: ["sse"] });
  const states: string[] = [];
  client.on("state", ({ state }) => {
    states.push(state);
    if (state === which) client.close();
  });
  if (which === "offline") goes("offline");
  cluster.requests = [];
  cluster.drain(1006);
  await pass(10_000);
  expect(states.slice(-2)).toEqual(expect.arrayContaining([which, "closed"]));
  const asked = cluster.requests.length;
  await pass(60_000);
  expect([cluster.requests.length, cluster.held]).toEqual([asked, 0]);
});

test("a function that is given twice is called once; a subscription without one ends alone", async () => {
  const { client, id, got } = await start();
  const fn = vi.fn();
  client.subscribe(id, fn);
  client.subscribe(id, fn);
  client.subscribe(id)();
  await cluster.publish(id, "1");
  expect(fn).toHaveBeenCalledOnce();
  expect(contents(got)).toEqual(["1"]);
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
  if (!globalThis.location) vi.stubGlobal("location", new URL("http://a.test/page/"));
  const { origin } = location;
  cluster.edges[0]!.url = origin;
  const { client } = await start({}, "/");
  expect(client.state).toMatchObject({ state: "open", url: origin });
  expect(new Comet(origin + "/x/", { share: false }).state.state).toBe("idle");
});
