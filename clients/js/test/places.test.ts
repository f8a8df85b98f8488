/** Tabs that share a connection and have different positions: none misses a message or gets one twice. */
import { expect, test } from "vitest";
import type { Message, Options } from "../src/index.js";
import { SharedConnection } from "../src/share.js";
import type { Sink } from "../src/wire.js";
import { channel, comet, contents, until } from "./suite.js";
import { cluster, tab } from "./tabs.js";

/** A tab, with the resets that it gets. */
async function join(id: string, options: Options) {
  const client = comet(cluster.urls, { share: true, ...options });
  const got: Message[] = [];
  const resets: string[] = [];
  client.on("reset", (reset) => resets.push(reset.id));
  client.subscribe(id, (message) => got.push(message));
  return { client, got, resets };
}

/** Tabs without connections: what they ask of a leader, and what they accept from it. */
class Room {
  wanted: string[][] = [];
  heard: unknown[][] = [];
  readonly name = "room-" + channel();
  private _tabs = new Map<string, SharedConnection>();

  constructor(
    private _id: string,
    private _positions: Record<string, string>,
  ) {}

  async open(tab: string): Promise<void> {
    const sink: Sink = {
      wantedChannels: () => ({ [this._id]: this._positions[tab]! }),
      setState: () => {},
      receive: (objects) => objects.forEach(({ content }) => this.heard.push([tab, content])),
    };
    const addChannel = (id: string, since = "") => void this.wanted.push([tab, id, since]);
    const connect = () => ({ addChannel, removeChannel() {}, onPageEvent() {}, close() {} });
    this._tabs.set(tab, new SharedConnection(this.name, sink, connect, () => {}));
    await new Promise((done) => setTimeout(done, 10));
  }

  close(tab: string): void {
    this._tabs.get(tab)!.close();
  }
}

test("a tab that joins behind the others misses nothing while messages flow", async () => {
  const id = channel();
  const first = await tab(id);
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  const follower = await tab(channel());
  const got: Message[] = [];
  const client = comet(cluster.urls, { share: true, since: { [id]: first.got[0]!.seq! } });
  client.subscribe(id, (message) => got.push(message));
  for (let number = 4; number <= 6; number++) {
    await cluster.publish(id, String(number)); // some arrive before the leader hears of the tab, some after
    await new Promise((done) => setTimeout(done));
  }
  await until(() => got.at(-1)?.content === "6" && first.got.length === 6);
  expect(contents(got)).toEqual(["2", "3", "4", "5", "6"]);
  expect(contents(first.got)).toEqual(["1", "2", "3", "4", "5", "6"]);
  expect(follower.got).toEqual([]);
});

test.each([true, false])("a tab that joins while the leader connects goes on from its position (known before: %s)", async (known) => {
  const id = channel();
  const first = await tab(id);
  await cluster.publish(id, "1");
  await cluster.publish(id, "2");
  await until(() => first.got.length === 2);
  for (const { url } of cluster.edges) await cluster.kill(url);
  const since = { [id]: first.got[0]!.seq! };
  if (!known) first.client.unsubscribe(id);
  if (!known) first.client.subscribe(id, (message) => first.got.push(message));
  const got: Message[] = [];
  const client = comet(cluster.urls, { share: true, since });
  client.subscribe(id, (message) => got.push(message));
  await until(() => client.state.shared);
  await cluster.publish(id, "3");
  await cluster.revive();
  await until(() => got.length === 2 && first.got.length >= 3);
  expect(contents(got)).toEqual(["2", "3"]);
  expect(new Set(contents(first.got)).size).toBe(3);
});

test.each(["poll", "stream"] as const)("a tab that joins behind a %s whose request is under way misses nothing", async (transport) => {
  const id = channel();
  const options = { transports: [transport] };
  const first = await tab(id, options);
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  const serve = cluster.hold();
  first.client.reconnect();
  await cluster.publish(id, "4");
  const behind = await join(id, { ...options, since: { [id]: first.got[0]!.seq! } });
  await until(() => behind.client.state.shared);
  await new Promise((done) => setTimeout(done, 20));
  serve();
  await until(() => behind.got.length === 3 && first.got.length === 4);
  expect([contents(first.got), contents(behind.got)]).toEqual([["1", "2", "3", "4"], ["2", "3", "4"]]);
});

test("a history for one tab costs the others no message", async () => {
  const id = channel();
  const first = await tab(id, { history: 1 });
  await cluster.publish(id, "1");
  await until(() => first.got.length === 1);
  const change = cluster.change.bind(cluster);
  cluster.change = (session, ops) => {
    const [drop, ...rest] = ops;
    change(session, [drop!]);
    cluster.change = change;
    for (const content of ["2", "3", "4"]) void cluster.publish(id, content);
    if (rest.length) change(session, rest);
  };
  const late = await tab(id, { history: 1 });
  await cluster.publish(id, "5");
  await until(() => first.got.length === 5 && late.got.at(-1)?.content === "5");
  expect(contents(first.got)).toEqual(["1", "2", "3", "4", "5"]);
  expect(["2,3,4,5", "4,5"]).toContain(contents(late.got).join());
});

test("a tab gets its history although the connection is just being made again", async () => {
  const id = channel();
  const first = await tab(id, { history: 2 });
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  for (const { url } of cluster.edges) await cluster.kill(url);
  await cluster.publish(id, "4");
  const got: Message[] = [];
  const late = comet(cluster.urls, { share: true, history: 2 });
  late.subscribe(id, (message) => got.push(message));
  await until(() => late.state.shared);
  await cluster.revive();
  await until(() => first.got.length === 4 && got.length === 2);
  expect([contents(first.got), contents(got)]).toEqual([["1", "2", "3", "4"], ["3", "4"]]);
});

test("a position in a log that was lost gives a reset, also where the channel is held", async () => {
  const id = channel();
  const first = await tab(id);
  for (const content of ["1", "2", "3"]) await cluster.publish(id, content);
  await until(() => first.got.length === 3);
  const since = { [id]: first.got[2]!.seq! };
  await cluster.forget();
  await cluster.publish(id, "new");
  await until(() => first.got.length === 4);
  const { client, got, resets } = await join(id, { since });
  await until(() => resets.length);
  await cluster.publish(id, "newer");
  await until(() => got.length === 1 && first.got.length === 5);
  expect([resets, contents(got), client.positions[id]]).toEqual([[id], ["newer"], first.got[4]!.seq]);
});

test("a follower that subscribes while the connection is made again begins with it", async () => {
  const id = channel();
  const first = await tab(id);
  const other = await tab(channel());
  first.client.reconnect();
  const got: Message[] = [];
  other.client.subscribe(id, (message) => got.push(message));
  await until(() => other.client.positions[id]);
  await cluster.publish(id, "1");
  await until(() => got.length === 1);
});

test("a new leader goes on from the position of a tab that is behind", async () => {
  const id = channel();
  const room = new Room(id, { first: "9-109", second: "7-107" });
  await room.open("first");
  await room.open("second");
  await until(() => room.wanted.length === 2);
  expect(room.wanted).toEqual([["first", id, "9-109"], ["first", id, "7-107"]]);
  room.close("first");
  await until(() => room.wanted.length === 3);
  expect(room.wanted[2]).toEqual(["second", id, "7-107"]);
});

test("a tab ignores a channel until the leader has heard its position, and ignores an old leader", async () => {
  const id = channel();
  const room = new Room(id, { first: "9-109", second: "7-107" });
  await room.open("first");
  await until(() => room.wanted.length === 1);
  const words: Record<string, unknown>[] = [];
  const ear = new BroadcastChannel(room.name);
  ear.onmessage = ({ data }) => words.push(data);
  await room.open("second");
  await until(() => words.some(({ heard }) => heard));
  const { term } = words.find(({ heard }) => heard) as { term: number };
  const say = (term: number, content: string) => ear.postMessage({ term, objects: [{ type: "data", id, content }] });
  say(term, "known");
  say(term - 1, "late");
  say(term + 1, "unheard");
  await until(() => words.some(({ wish, tab }) => wish === "want" && tab !== "first" && words.length > 2));
  await until(() => room.heard.length);
  expect(room.heard).toEqual([["second", "known"]]);
  await until(() => words.filter(({ wish }) => wish === "want").length === 2); // the new leader is told again
  ear.close();
  room.close("second");
  room.close("first");
});
