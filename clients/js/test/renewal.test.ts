/** A token is renewed before it ends, and the connection goes on. */
import { expect, test, vi } from "vitest";
import { cluster, pass, requestedPaths, start, within } from "./clock.js";
import { jwt } from "./jwt.js";
import { channel, comet, contents } from "./suite.js";

/** A token that lives for this many seconds from now on, unlike all others. */
let made = 0;
const fresh = (life = 60): string => jwt({ exp: Date.now() / 1000 + life, jti: ++made });

test.each(["ws", "sse", "stream"] as const)("a fresh token is handed over on %s without another connection", async (transport) => {
  const given: string[] = [];
  const getToken = vi.fn(async () => given[given.push(fresh()) - 1]!);
  const { client, id, got, errors } = await start({ transports: [transport], getToken });
  const { session } = client.state;
  await pass(47_000);
  expect(getToken).toHaveBeenCalledTimes(1);
  await pass(8_000);
  expect(cluster.freshTokens).toEqual([[session, given[1]]]);
  await pass(55_000);
  expect(cluster.freshTokens).toEqual([[session, given[1]], [session, given[2]]]);
  await cluster.publish(id, "1");
  await pass(10);
  expect([client.state.session, contents(got), errors]).toEqual([session, ["1"], []]);
  expect(requestedPaths().filter((path) => !/^\/(ws|sse|stream|sub)$/.test(path))).toEqual([]);
});

test.each(["poll", "jsonp"] as const)("the next request of %s has the fresh token", async (transport) => {
  const given: string[] = [];
  const getToken = async (): Promise<string> => given[given.push(fresh()) - 1]!;
  const { client, id, got, errors } = await start({ transports: [transport], getToken });
  await pass(55_000);
  await cluster.publish(id, "1");
  await pass(1_000);
  const sent = cluster.requests.map(({ searchParams }) => searchParams.get("token"));
  expect([...new Set(sent)]).toEqual(given);
  expect(given.length).toBe(2);
  expect([client.state.state, contents(got), errors, cluster.freshTokens]).toEqual(["open", ["1"], [], []]);
});

test("a token that was given at first is renewed as well", async () => {
  const next = fresh(600);
  const { client } = await start({ transports: ["ws"], token: fresh(), getToken: () => next });
  await pass(55_000);
  expect(cluster.freshTokens).toEqual([[client.state.session, next]]);
});

test("a token that has ended is not sent, if there is a way to another", async () => {
  const next = fresh(600);
  await start({ transports: ["ws"], token: fresh(-60), getToken: () => next });
  expect(cluster.requests.map(({ searchParams }) => searchParams.get("token"))).toEqual([next]);
});

test.each(["opaque", fresh(-60), fresh(10)])("without getToken nothing is renewed", async (token) => {
  const { client, errors } = await start({ transports: ["ws"], token });
  await pass(120_000);
  expect([client.state.state, errors, cluster.freshTokens, cluster.requests.length]).toEqual(["open", [], [], 1]);
});

test.each(["opaque", "a.b.c", ""])("the end of the token %j is not known, so the server tells it", async (token) => {
  const getToken = vi.fn(() => token);
  await start({ transports: ["ws"], getToken });
  await pass(600_000);
  expect(getToken).toHaveBeenCalledTimes(1);
});

test("an application that gives the same token again and again is not kept busy", async () => {
  const token = fresh(20);
  const getToken = vi.fn(() => token);
  const { client } = await start({ transports: ["ws"], getToken });
  await pass(60_000);
  expect(getToken.mock.calls.length).toBeLessThan(8);
  expect([cluster.freshTokens, client.state.state]).toEqual([[], "open"]);
});

test("tokens that hardly live do not keep the application busy", async () => {
  const getToken = vi.fn(() => fresh(0.5));
  await start({ transports: ["ws"], getToken });
  await pass(60_000);
  expect(getToken.mock.calls.length).toBeLessThan(15);
});

test("where getToken fails the old token goes on until the server ends it", async () => {
  const second = fresh(600);
  const getToken = vi.fn().mockResolvedValueOnce(fresh()).mockRejectedValueOnce(new Error("busy")).mockResolvedValue(second);
  const { client, errors } = await start({ transports: ["ws"], getToken });
  const { session } = client.state;
  await pass(58_000);
  expect(errors).toEqual([{ code: 401, content: "Error: busy", id: "" }]);
  expect(client.state).toMatchObject({ state: "open", session });
  cluster.token = second;
  cluster.tell([{ type: "error", code: 401, content: "token: it has expired" }]);
  cluster.drain(1008);
  await pass(1_000);
  expect(client.state.state).toBe("open");
  expect(getToken).toHaveBeenCalledTimes(3);
  expect(cluster.requests.at(-1)!.searchParams.get("token")).toBe(second);
});

test("a connection that is lost while getToken runs comes back with the token that it has", async () => {
  const getToken = vi.fn().mockResolvedValueOnce(fresh()).mockReturnValueOnce(new Promise(() => {}));
  const { client } = await start({ transports: ["ws"], getToken });
  await pass(55_000);
  expect(getToken).toHaveBeenCalledTimes(2);
  cluster.drain(1012);
  await pass(10);
  expect([client.state.state, cluster.requests.length]).toEqual(["open", 2]);
});

test.each(["ws", "sse"] as const)("a fresh token that is refused on %s is replaced, with another connection", async (transport) => {
  const getToken = vi.fn(() => fresh());
  const { client, id, got } = await start({ transports: [transport], getToken });
  cluster.refuseFreshToken = transport === "ws" ? 401 : 403;
  await within(55_000, () => cluster.freshTokens.length);
  await within(1_000, () => getToken.mock.calls.length === 3 && client.state.state === "open");
  const tokens = cluster.requests.map(({ searchParams }) => searchParams.get("token")).filter(Boolean);
  expect(tokens).toEqual([getToken.mock.results[0]!.value, getToken.mock.results[2]!.value]);
  await cluster.publish(id, "1");
  expect(contents(got)).toEqual(["1"]);
});

test.each([401, 403])("a request with a fresh token that is refused (%d) has it replaced", async (status) => {
  const getToken = vi.fn(() => fresh());
  const { client } = await start({ transports: ["stream"], getToken });
  cluster.edges[0]!.refuse = vi.fn().mockReturnValueOnce(Response.json({ content: "token: bad" }, { status }));
  await within(55_000, () => getToken.mock.calls.length === 3);
  await within(1_000, () => client.state.state === "open");
  expect(cluster.requests.at(-1)!.searchParams.get("token")).toBe(getToken.mock.results[2]!.value);
});

test.each(["ws", "sse"] as const)("an edge that needs no tokens is left alone on %s", async (transport) => {
  const { client, got, id, errors } = await start({ transports: [transport], getToken: () => fresh() });
  const { session } = client.state;
  cluster.refuseFreshToken = 400;
  await pass(120_000);
  await cluster.publish(id, "1");
  expect([client.state.session, contents(got), errors]).toEqual([session, ["1"], []]);
  expect(cluster.freshTokens.length).toBe(2);
});

test("an edge of the version before refuses the request, and the client comes back with the fresh token", async () => {
  const getToken = vi.fn(() => fresh());
  const { client, errors } = await start({ transports: ["stream"], getToken });
  cluster.edges[0]!.refuse = vi.fn().mockReturnValueOnce(Response.json({ content: "op: give one of" }, { status: 400 }));
  await within(56_000, () => cluster.requests.length === 3 && client.state.state === "open");
  expect(cluster.requests.at(-1)!.searchParams.get("token")).toBe(getToken.mock.results[1]!.value);
  expect([getToken.mock.calls.length, errors]).toEqual([2, []]);
});

test("a channel that is subscribed to with the fresh token comes after it", async () => {
  const { client } = await start({ transports: ["stream"], getToken: () => fresh() });
  const sent = vi.spyOn(cluster, "change");
  const posted = cluster.hold();
  await within(55_000, () => requestedPaths().includes("/sub"));
  client.subscribe("more");
  await pass(10);
  posted();
  await pass(10);
  expect(sent.mock.calls.flatMap(([, ops]) => ops.map(({ op }) => op))).toEqual(["token", "sub"]);
});

test("a client that is idle when its token ends asks for another before it connects", async () => {
  const getToken = vi.fn(() => fresh());
  const { client, id } = await start({ transports: ["ws"], getToken });
  client.unsubscribe(id);
  await pass(120_000);
  expect(getToken).toHaveBeenCalledTimes(1);
  client.subscribe(id);
  await pass(10);
  expect([getToken.mock.calls.length, cluster.freshTokens]).toEqual([2, []]);
  expect(cluster.requests.at(-1)!.searchParams.get("token")).toBe(getToken.mock.results[1]!.value);
});

test("a client that is closed asks for no token", async () => {
  const getToken = vi.fn(() => fresh());
  const { client } = await start({ transports: ["ws"], getToken });
  client.close();
  await pass(120_000);
  expect(getToken).toHaveBeenCalledTimes(1);
});

test("the tab that leads renews for all", async () => {
  const getToken = vi.fn(() => fresh());
  const id = channel();
  const tabs = [1, 2, 3].map(() => comet(cluster.urls[0]!, { share: true, transports: ["ws"], getToken }));
  for (const tab of tabs) tab.subscribe(id);
  await within(5_000, () => tabs.every(({ state }) => state.state === "open"), 10);
  await within(58_000, () => cluster.freshTokens.length, 10);
  expect([getToken.mock.calls.length, cluster.freshTokens.length]).toEqual([2, 1]);
});
