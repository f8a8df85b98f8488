/** A tab that hangs while it leads: its messages, its lock's loss and its connection's objects wait until it goes on. */
import { beforeEach, expect, test, vi } from "vitest";
import type { Comet, Message, Options } from "../src/index.js";
import type { ServerObject } from "../src/wire.js";
import { cluster, pass } from "./clock.js";
import { channel, comet, contents } from "./suite.js";

type Task = () => unknown;

/** What runs a tab: nothing while it hangs, and then all that has waited. */
class Loop {
  private _waiting?: Task[];

  run(task: Task): void {
    if (this._waiting) this._waiting.push(task);
    else task();
  }

  hang(): void {
    this._waiting = [];
  }

  wake(): void {
    const tasks = this._waiting || [];
    this._waiting = undefined;
    for (const task of tasks) task();
  }
}

/** The loop of the tab whose code runs now. */
let current: Loop;
/** Ends when the tasks so far, and what they put off until just after them, have run: one task after the other. */
let done: Promise<void>;
/** All that tabs told each other. */
let told: { term?: number; wish?: string; heard?: object }[];
let channels: Set<Channel>;

async function runAlone(loop: Loop, task: Task): Promise<void> {
  current = loop;
  task();
  for (let turns = 0; turns < 20; turns++) await null;
  current = new Loop();
}

const runAs = (loop: Loop, task: Task): void =>
  loop.run(() => {
    done = done.then(() => runAlone(loop, task));
  });

class Channel {
  onmessage?: (event: { data: unknown }) => void;
  private _loop = current;

  constructor(private _name: string) {
    channels.add(this);
  }

  postMessage(data: object): void {
    told.push(data);
    const text = JSON.stringify(data);
    for (const other of channels) {
      if (other === this || other._name !== this._name) continue;
      runAs(other._loop, () => channels.has(other) && other.onmessage!({ data: JSON.parse(text) }));
    }
  }

  close(): void {
    channels.delete(this);
  }
}

interface Lock {
  loop: Loop;
  use: () => unknown;
  resolve: Task;
  reject(error: unknown): void;
}

/** Web Locks with `steal`. */
class Locks {
  private _held = new Map<string, Lock>();
  private _lines = new Map<string, Lock[]>();

  request = (name: string, { signal, steal }: { signal?: AbortSignal; steal?: boolean }, use: () => unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const lock: Lock = { loop: current, use, resolve: () => resolve(undefined), reject };
      const line = this._lines.get(name) || [];
      this._lines.set(name, line);
      const holder = this._held.get(name);
      if (steal && holder) {
        this._held.delete(name);
        runAs(holder.loop, () => holder.reject(new DOMException("stolen", "AbortError")));
      }
      if (steal) line.unshift(lock);
      else line.push(lock);
      signal?.addEventListener("abort", () => {
        if (!line.includes(lock)) return;
        line.splice(line.indexOf(lock), 1);
        reject(signal.reason);
      });
      this._grant(name);
    });

  private _grant(name: string): void {
    const lock = this._held.has(name) ? undefined : this._lines.get(name)!.shift();
    if (!lock) return;
    this._held.set(name, lock);
    const release = (): void => {
      if (this._held.get(name) !== lock) return;
      this._held.delete(name);
      this._grant(name);
    };
    runAs(lock.loop, () => void Promise.resolve(lock.use()).then(lock.resolve, lock.reject).finally(release));
  }
}

beforeEach(() => {
  told = [];
  channels = new Set();
  current = new Loop();
  done = Promise.resolve();
  vi.stubGlobal("BroadcastChannel", Channel);
  vi.spyOn(navigator.locks, "request").mockImplementation(new Locks().request as never);
  // What an edge sends to a tab waits, too. A tab's timers do not: they find nothing to do.
  const attach = cluster.attach.bind(cluster);
  vi.spyOn(cluster, "attach").mockImplementation((url, tell, cut) => {
    const loop = current;
    return attach(url, (objects: ServerObject[]) => runAs(loop, () => tell(objects)), cut);
  });
});

interface Tab {
  loop: Loop;
  client: Comet;
  got: Message[];
  resets: unknown[];
  states: string[];
}

async function open(id: string, options: Options = {}): Promise<Tab> {
  const tab = { loop: new Loop(), got: [], resets: [], states: [] } as unknown as Tab;
  runAs(tab.loop, () => {
    tab.client = comet(cluster.urls, { share: true, ...options });
    tab.client.on("reset", (reset) => tab.resets.push(reset));
    tab.client.on("state", ({ state }) => tab.states.push(state));
    tab.client.subscribe(id, (message) => tab.got.push(message));
  });
  await pass(300);
  return tab;
}

const shared = (tabs: Tab[]): boolean[] => tabs.map(({ client }) => !!client.state.shared);

async function publish(id: string, ...messages: string[]): Promise<void> {
  for (const content of messages) await cluster.publish(id, content);
  await pass(0);
}

test("the others hear again within 5 seconds of a leader that hangs, and it follows when it goes on", async () => {
  const id = channel();
  const tabs = [await open(id), await open(id), await open(id)];
  const [leader, second, third] = tabs as [Tab, Tab, Tab];
  expect(shared(tabs)).toEqual([false, true, true]);
  await publish(id, "1");
  leader.loop.hang();
  await publish(id, "2", "3");
  expect(contents(second.got)).toEqual(["1"]);
  await pass(4600);
  expect([contents(second.got), contents(third.got)]).toEqual([["1", "2", "3"], ["1", "2", "3"]]);
  await pass(15_000);
  await publish(id, "4");
  expect(shared([second, third])).toEqual([false, true]);
  leader.loop.wake();
  await pass(300);
  await publish(id, "5", "6");
  expect(shared(tabs)).toEqual([true, false, true]);
  for (const { got, resets } of tabs) expect([contents(got), resets]).toEqual([["1", "2", "3", "4", "5", "6"], []]);
  expect(cluster.held).toBe(1);
});

test("a tab that has led twice still leads and follows", async () => {
  const id = channel();
  const tabs = [await open(id), await open(id)];
  for (const [index, hung] of [...tabs, ...tabs].entries()) {
    expect(shared([hung])).toEqual([false]);
    hung.loop.hang();
    await publish(id, `${index}a`);
    await pass(5000);
    hung.loop.wake();
    await pass(300);
    await publish(id, `${index}b`);
  }
  const all = ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"];
  expect(tabs.map(({ got }) => contents(got))).toEqual([all, all]);
  expect(cluster.held).toBe(1);
});

test("a follower that hangs does not become the leader of a tab that lives", async () => {
  const id = channel();
  const tabs = [await open(id), await open(id), await open(id)];
  const [leader, next, third] = tabs as [Tab, Tab, Tab];
  next.loop.hang(); // it is the next in line, and is granted the lock
  leader.client.close();
  await publish(id, "1");
  await pass(5000);
  expect(contents(third.got)).toEqual(["1"]);
  next.loop.wake();
  await pass(300);
  await publish(id, "2");
  expect([contents(next.got), contents(third.got)]).toEqual([["1", "2"], ["1", "2"]]);
  expect(shared([next, third])).toEqual([true, false]);
  expect(cluster.held).toBe(1);
});

test("a tab that is opened while the leader hangs gets its messages", async () => {
  const id = channel();
  const leader = await open(id);
  leader.loop.hang();
  const late = await open(id);
  await pass(5000);
  await publish(id, "1");
  expect([contents(late.got), late.client.state.state]).toEqual([["1"], "open"]);
});

test("a leader that lives keeps the lead, and idle tabs together ask it once in two to three seconds", async () => {
  const id = channel();
  const tabs = [];
  for (let number = 0; number < 6; number++) {
    tabs.push(await open(id));
    await pass(47 * number);
  }
  const [session, states] = [tabs[0]!.client.state.session, tabs.map(({ states }) => states.length)];
  told = [];
  await pass(60_000);
  const questions = told.filter(({ wish }) => wish).length;
  expect(questions).toBeGreaterThan(20);
  expect(told.filter(({ heard }) => heard).length).toBe(questions);
  expect(questions).toBeLessThan(36);
  expect(tabs[0]!.client.state.session).toBe(session);
  expect(shared(tabs)).toEqual([false, ...Array(5).fill(true)]);
  expect(tabs.map(({ states }) => states.length)).toEqual(states); // the page hears nothing of it
});

test("nothing is asked while messages arrive, by a tab without others, or by one that was closed", async () => {
  const id = channel();
  const leader = await open(id);
  told = [];
  await pass(10_000);
  expect(told).toEqual([]);
  const second = await open(id);
  told = [];
  for (let number = 0; number < 10; number++) {
    await publish(id, String(number));
    await pass(1000);
  }
  expect(told.filter(({ wish }) => wish)).toEqual([]);
  leader.client.close();
  second.client.close();
  told = [];
  await pass(10_000);
  expect(told).toEqual([]);
});

test("a follower that was held up itself does not take its leader for one that hangs", async () => {
  const id = channel();
  const tabs = [await open(id), await open(id)];
  const { session } = tabs[0]!.client.state;
  for (let round = 0; round < 5; round++) {
    tabs[1]!.loop.hang();
    await pass(1700);
    tabs[1]!.loop.wake();
    await pass(1000);
  }
  expect(tabs[0]!.client.state.session).toBe(session);
  expect(shared(tabs)).toEqual([false, true]);
});

/** Another version of the client, as far as other tabs see it: it leads, and answers what it always could. */
test("a leader of the version before answers the question, and does not lose the lead", async () => {
  const id = channel();
  const follower = await open(id);
  const name = [...channels][0]!["_name" as never] as string;
  follower.client.close();
  await pass(0);
  const asked: unknown[] = [];
  const old = new Channel(name);
  old.onmessage = ({ data }) => {
    const request = data as { wish?: string; ids: object };
    asked.push([request.wish, Object.keys(request.ids)]);
    if (request.wish === "want") old.postMessage({ term: 1, state: { state: "open", session: "old.1" }, heard: request });
  };
  void navigator.locks.request(name, {}, () => new Promise(() => {}));
  const late = await open(id);
  await pass(20_000);
  expect(late.client.state).toMatchObject({ state: "open", session: "old.1", shared: true });
  expect(asked.slice(0, 2)).toEqual([["want", [id]], ["want", []]]);
  expect(new Set(asked.slice(1).map(String))).toEqual(new Set(["want,"])); // and nothing that it does not know
});
