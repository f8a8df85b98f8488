/** Tests that hold for every transport: run against a fake cluster in Node, and against real edges in a browser. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { Comet, type Message, type Options, type TransportName } from "../src/index.js";

export interface World {
  urls: string[];
  publish(id: string, content: string, event?: string): Promise<void>;
  kill(url: string): Promise<void>;
  revive(): Promise<void>;
  forget(): Promise<void>;
}

let number = Date.now() % 1e6;
const opened: Comet[] = [];

export const channel = (): string => `demo-${number++}`;

/** A client that ends with its test. */
export function comet(urls: string | string[], options: Options): Comet {
  const client = new Comet(urls, { share: false, timeout: 3000, ...options });
  opened.push(client);
  return client;
}

export const until = (look: () => unknown): Promise<unknown> =>
  vi.waitFor(() => expect(look()).toBeTruthy(), { timeout: 20_000, interval: 5 });

export const contents = (messages: Message[]): string[] => messages.map(({ content }) => content);

afterEach(() => opened.splice(0).forEach((client) => client.close()));

export function suite(world: World, transports: TransportName[]): void {
  afterEach(() => world.revive());

  describe.each(transports)("%s", (transport) => {
    const open = async (id: string, options: Options = {}) => {
      const client = comet(world.urls, { transports: [transport], ...options });
      const got: Message[] = [];
      client.subscribe(id, (message) => got.push(message));
      await until(() => client.state.state === "open" && client.positions[id]);
      return { client, got };
    };

    test("messages arrive in order, as they were published, with their positions", async () => {
      const id = channel();
      const { client, got } = await open(id);
      expect(client.state.transport).toBe(transport);
      const sent = ["plain", "two\nlines", "\u2028 'ü' \"😀\"", ""];
      for (const content of sent) await world.publish(id, content);
      await world.publish(id, "named", "news");
      await until(() => got.length === 5);
      expect(contents(got)).toEqual([...sent, "named"]);
      expect(got.map(({ seq }) => parseInt(seq!))).toEqual([1, 2, 3, 4, 5]);
      expect(got.at(-1)!.event).toBe("news");
      expect(client.positions[id]).toBe(got.at(-1)!.seq);
    });

    test("a channel that is added gets its messages, one that is removed does not, the others miss nothing", async () => {
      const [id, added] = [channel(), channel()];
      const { client, got } = await open(id);
      await world.publish(id, "1");
      await until(() => got.length === 1);
      const more: Message[] = [];
      client.subscribe(added, (message) => more.push(message));
      await until(() => client.positions[added]);
      await world.publish(added, "a");
      await world.publish(id, "2");
      await until(() => got.length === 2 && more.length === 1);
      client.unsubscribe(added);
      client.subscribe(id + "x");
      await until(() => client.positions[id + "x"]);
      await world.publish(added, "b");
      await world.publish(id, "3");
      await until(() => got.length === 3);
      expect([contents(got), contents(more)]).toEqual([["1", "2", "3"], ["a"]]);
    });

    test("a channel that a listener subscribes to begins at that moment", async () => {
      const [id, other] = [channel(), channel()];
      const { client } = await open(id);
      const more: Message[] = [];
      const end = client.subscribe(id, () => {
        end();
        client.subscribe(other, (message) => more.push(message));
      });
      await world.publish(id, "1");
      await until(() => client.positions[other]);
      await world.publish(other, "a");
      await until(() => more.length === 1);
      expect(contents(more)).toEqual(["a"]);
    });

    test("another edge takes over from one that dies: no message is lost or comes twice", async () => {
      const id = channel();
      const { client, got } = await open(id);
      await world.publish(id, "1");
      await until(() => got.length === 1);
      const first = client.state;
      await world.kill(first.url!);
      await world.publish(id, "2");
      await until(() => got.length === 2);
      await world.publish(id, "3");
      await until(() => got.length === 3);
      expect(contents(got)).toEqual(["1", "2", "3"]);
      expect(client.state).toMatchObject({ state: "open", transport });
      expect(client.state.url).not.toBe(first.url);
    });

    test("a connection that is dropped goes on from its position", async () => {
      const id = channel();
      const { client, got } = await open(id);
      await world.publish(id, "1");
      await until(() => got.length === 1);
      client.reconnect();
      await world.publish(id, "2");
      await until(() => got.length === 2);
      expect(contents(got)).toEqual(["1", "2"]);
    });

    test("the history, or the messages after a position, come first where they are asked for", async () => {
      const id = channel();
      const { client, got } = await open(id);
      for (const content of ["1", "2", "3"]) await world.publish(id, content);
      await until(() => got.length === 3);
      client.close();
      const last = await open(id, { history: 2 });
      const after = await open(id, { since: { [id]: got[0]!.seq! } });
      await until(() => last.got.length === 2 && after.got.length === 2);
      expect([contents(last.got), contents(after.got)]).toEqual([["2", "3"], ["2", "3"]]);
    });

    test("tabs that share a connection go on, each from its own position", async () => {
      const id = channel();
      const share = "tabs of " + id;
      const first = await open(id, { share, history: 2 });
      for (const content of ["1", "2", "3"]) await world.publish(id, content);
      await until(() => first.got.length === 3);
      const last = await open(id, { share, history: 2 });
      const after = await open(id, { share, history: 2, since: { [id]: first.got[0]!.seq! } });
      await until(() => last.got.length === 2 && after.got.length === 2);
      expect([first, last, after].map(({ client }) => !!client.state.shared)).toEqual([false, true, true]);
      first.client.close();
      await world.publish(id, "4");
      await until(() => last.got.length === 3 && after.got.length === 3);
      expect(contents(first.got)).toEqual(["1", "2", "3"]);
      for (const { got } of [last, after]) expect(contents(got)).toEqual(["2", "3", "4"]);
    });

    test("a reset reports that messages are missing, and later ones arrive", async () => {
      const id = channel();
      const { client, got } = await open(id);
      const resets: string[] = [];
      client.on("reset", (reset) => resets.push(reset.id));
      for (const content of ["1", "2", "3"]) await world.publish(id, content);
      await until(() => got.length === 3);
      await world.forget();
      await until(() => resets.length);
      await world.publish(id, "4");
      await until(() => got.length === 4);
      expect([resets, contents(got)]).toEqual([[id], ["1", "2", "3", "4"]]);
    });
  });
}
