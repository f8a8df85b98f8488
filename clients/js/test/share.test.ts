/** How tabs share one connection. */
import { expect, test, vi } from "vitest";
import { firePageEvent } from "./browser-parts.js";
import { channel, contents, until } from "./suite.js";
import { cluster, tab } from "./tabs.js";

test("tabs share one connection, and each gets every message once", async () => {
  const id = channel();
  const tabs = [await tab(id), await tab(id), await tab(id)];
  expect(cluster.held).toBe(1);
  expect(tabs.map(({ client }) => !!client.state.shared)).toEqual([false, true, true]);
  await cluster.publish(id, "1");
  await cluster.publish(id, "2");
  await until(() => tabs.every(({ got }) => got.length === 2));
  for (const { got } of tabs) expect(contents(got)).toEqual(["1", "2"]);
});

test("when the leader is closed another tab takes over from the positions", async () => {
  const id = channel();
  const [first, second, third] = [await tab(id), await tab(id), await tab(id)];
  await cluster.publish(id, "1");
  await until(() => third.got.length === 1);
  first.client.close();
  await cluster.publish(id, "2");
  await until(() => second.got.length === 2 && third.got.length === 2);
  await cluster.publish(id, "3");
  await until(() => second.got.length === 3 && third.got.length === 3);
  expect([contents(second.got), contents(third.got)]).toEqual([["1", "2", "3"], ["1", "2", "3"]]);
  expect(cluster.held).toBe(1);
  expect(!!second.client.state.shared).toBe(false);
});

test("a channel is held as long as a tab wants it, and reaches only the tabs that do", async () => {
  const [id, other] = [channel(), channel()];
  const first = await tab(id);
  const second = await tab(other);
  await cluster.publish(other, "1");
  await until(() => second.got.length === 1);
  expect(first.got).toEqual([]);
  const third = await tab(other);
  second.client.unsubscribe(other);
  await cluster.publish(other, "2");
  await until(() => third.got.length === 1);
  third.client.close(); // as in a crash: it announces nothing, but its lock is free
  await until(() => cluster.requests.length);
  await cluster.publish(id, "3");
  await until(() => first.got.length === 1);
  expect([contents(first.got), contents(second.got), contents(third.got)]).toEqual([["3"], ["1"], ["2"]]);
});

test("the channels of a tab that is gone are left", async () => {
  const [id, other] = [channel(), channel()];
  await tab(id);
  const second = await tab(other);
  const told = vi.spyOn(cluster, "change");
  second.client.close();
  await until(() => told.mock.calls.some(([, ops]) => ops.some(({ op, id }) => op === "unsub" && id === other)));
});

test("a tab that joins behind the others goes on from its position, and the others get nothing twice", async () => {
  const id = channel();
  const first = await tab(id);
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  const behind = await tab(id, { since: { [id]: first.got[0]!.seq! } });
  await until(() => behind.got.length === 2);
  await cluster.publish(id, "4");
  await until(() => behind.got.length === 3 && first.got.length === 4);
  expect([contents(first.got), contents(behind.got)]).toEqual([["1", "2", "3", "4"], ["2", "3", "4"]]);
});

test("a tab that joins gets its history", async () => {
  const id = channel();
  const first = await tab(id, { history: 2 });
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  const late = await tab(id, { history: 2 });
  await until(() => late.got.length === 2);
  expect([contents(first.got), contents(late.got)]).toEqual([["1", "2", "3"], ["2", "3"]]);
});

test("a frozen leader hands over, and joins again when it resumes", async () => {
  const id = channel();
  const first = await tab(id);
  firePageEvent("freeze"); // these tabs are one page, so all of them freeze
  expect(cluster.held).toBe(0);
  await cluster.publish(id, "1");
  firePageEvent("resume");
  await until(() => first.got.length === 1);
});

test("other tokens, other names and `false` do not share", async () => {
  const id = channel();
  await tab(id, { token: "ann" });
  await tab(id, { token: "bob" });
  await tab(id, { share: "mine" });
  await tab(id, { share: false });
  expect(cluster.held).toBe(4);
});

test("without Web Locks each tab has a connection of its own", async () => {
  vi.stubGlobal("navigator", { onLine: true });
  const id = channel();
  await tab(id);
  await tab(id);
  expect(cluster.held).toBe(2);
});

test("where Web Locks are forbidden each tab has a connection of its own", async () => {
  vi.spyOn(navigator.locks, "request").mockRejectedValue(new DOMException("opaque origin", "SecurityError"));
  const id = channel();
  const tabs = [await tab(id), await tab(id)];
  expect(cluster.held).toBe(2);
  await cluster.publish(id, "1");
  await until(() => tabs.every(({ got }) => got.length === 1));
});

test("a follower can have the connection made again", async () => {
  const id = channel();
  const first = await tab(id);
  const second = await tab(id);
  const before = first.client.state.session;
  second.client.reconnect();
  await until(() => second.client.state.state === "open" && second.client.state.session !== before);
  await cluster.publish(id, "1");
  await until(() => second.got.length === 1 && first.got.length === 1);
});

test("a new leader asks the others what they want", async () => {
  const [id, other] = [channel(), channel()];
  const first = await tab(id);
  await tab(id);
  const third = await tab(other);
  first.client.close();
  await until(() => cluster.held === 1);
  await cluster.publish(other, "1");
  await until(() => third.got.length === 1);
});

test("the leader alone reacts to events of the network", async () => {
  const id = channel();
  const first = await tab(id, { transports: ["stream"] });
  await tab(id, { transports: ["stream"] });
  const before = cluster.requests.length;
  firePageEvent("online");
  await until(() => first.client.state.state === "open" && cluster.requests.length > before);
  await new Promise((done) => setTimeout(done, 20));
  expect(cluster.requests.length).toBe(before + 1);
});

test("a refusal is reported to the tab that asked, and not to the others", async () => {
  const id = channel();
  const first = await tab(id);
  const second = await tab(id);
  const errors: unknown[][] = [[], []];
  [first, second].forEach(({ client }, index) => client.on("error", (error) => errors[index]!.push(error.id)));
  cluster.refuse = (name) => (name === "forbidden" ? { code: 403, content: "not yours" } : undefined);
  second.client.subscribe("forbidden");
  await until(() => errors[1]!.length);
  expect(errors).toEqual([[], ["forbidden"]]);
});
