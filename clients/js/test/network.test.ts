/** How the client reacts to silence, to the browser's events of the network, and to those of its page. */
import { expect, test, vi } from "vitest";
import { firePageEvent } from "./browser-parts.js";
import { cluster, pass, requestedPaths, setNetwork, start } from "./clock.js";
import { contents } from "./suite.js";

test("what the browser reports of the network is a hint: a connection that works is kept", async () => {
  const { client } = await start();
  setNetwork("offline");
  await pass(10);
  expect([client.state.state, requestedPaths()]).toEqual(["open", ["/ws"]]);
  const states: string[] = [];
  client.on("state", ({ state }) => states.push(state));
  cluster.change = () => {}; // now it is true: nothing is answered
  setNetwork("offline");
  await pass(4900);
  expect(states).toEqual([]);
  await pass(200);
  expect(states[0]).toBe("offline");
});

test("offline is shown while the tries go on; online ends the pause", async () => {
  const { client, id, got } = await start();
  setNetwork("offline");
  await cluster.kill(client.state.url!);
  await pass(120_000);
  expect(client.state.state).toBe("offline");
  expect(requestedPaths().length).toBeGreaterThan(5);
  await cluster.publish(id, "while away");
  await cluster.revive();
  setNetwork("online");
  await pass(1);
  expect([client.state.state, contents(got)]).toEqual(["open", ["while away"]]);
});

test("a WebSocket that answers is kept when the network is back", async () => {
  const { client } = await start();
  setNetwork("online");
  await pass(60_000);
  expect([client.state.state, requestedPaths()]).toEqual(["open", ["/ws"]]);
});

test("a client connects although the browser reports that it is offline", async () => {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  expect((await start()).client.state.state).toBe("open");
});

test("a page that becomes visible does not wait any longer", async () => {
  const { client } = await start();
  await cluster.kill(client.state.url!);
  await pass(600_000);
  await cluster.revive();
  cluster.requests = [];
  (document instanceof EventTarget ? document : globalThis).dispatchEvent(new Event("visibilitychange"));
  await pass(1);
  expect(requestedPaths().length).toBe(1);
  expect(client.state.state).toBe("open");
});

test("a transport that cannot ping is made anew when the network is back", async () => {
  const { client } = await start({ transports: ["stream"] });
  const before = client.state.session;
  setNetwork("online");
  await pass(10);
  expect(client.state).toMatchObject({ state: "open", transport: "stream" });
  expect(client.state.session).not.toBe(before);
});

test.each([
  ["freeze", "resume"],
  ["pagehide", "pageshow"],
])("a page that is put away (%s) gives up its connection, and goes on at once after %s", async (away, back) => {
  const { client, id, got } = await start();
  firePageEvent(away);
  expect(cluster.held).toBe(0);
  await cluster.publish(id, "while away");
  firePageEvent(back);
  await pass(10);
  expect(client.state.state).toBe("open");
  expect(contents(got)).toEqual(["while away"]);
});

test("a WebSocket that falls silent is pinged, and replaced if it does not answer", async () => {
  const { client } = await start({ transports: ["ws"] });
  await pass(120_000);
  expect(cluster.requests.length).toBe(1); // it answered each time
  cluster.change = () => {};
  const before = client.state.session;
  await pass(40_000);
  expect(client.state.session).not.toBe(before);
});

test("a stream without heartbeats is replaced after a minute", async () => {
  await start({ transports: ["stream"] });
  await pass(55_000);
  expect(cluster.requests.length).toBe(1);
  await pass(20_000);
  expect(cluster.requests.length).toBe(2);
});

test("Server-Sent Events without heartbeats are replaced after a minute, if one heartbeat was seen", async () => {
  const { client } = await start({ transports: ["sse"] });
  cluster.beat();
  await pass(55_000);
  expect(requestedPaths().length).toBe(1);
  await pass(20_000);
  expect(requestedPaths().length).toBe(2);
  expect(client.state.state).toBe("open");
  await pass(250_000); // this one has had no heartbeat
  expect(requestedPaths().length).toBe(2);
  await pass(70_000);
  expect(requestedPaths().length).toBe(3);
});

test("an EventSource does not reconnect by itself: it is made anew, from the client's position, at the next edge", async () => {
  const { client, id, got } = await start({ transports: ["sse"] }, cluster.urls);
  await cluster.publish(id, "1");
  cluster.drain(0);
  await cluster.publish(id, "2");
  await pass(1000);
  expect(cluster.requests.map(({ host }) => host)).toEqual(["a.test", "b.test"]);
  expect(cluster.requests[1]!.searchParams.get("since")).toBe(got[0]!.seq);
  expect([contents(got), client.state.state, cluster.held]).toEqual([["1", "2"], "open", 1]);
});

test("an EventSource that is told to come back later waits for 1 to 5 seconds", async () => {
  cluster.edges[0]!.full = true;
  const { client } = await start({ transports: ["sse"] });
  await pass(850);
  expect(requestedPaths().length).toBe(1);
  cluster.edges[0]!.full = false;
  await pass(4200);
  expect(client.state.state).toBe("open");
});
