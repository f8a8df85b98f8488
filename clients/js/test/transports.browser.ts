import { suite, type World } from "./suite.js";

/** The cluster that tests/browser/test_client.py runs, and the address that controls it. */
declare global {
  interface ImportMeta {
    env: Record<"VITE_EDGES" | "VITE_CONTROL" | "VITE_TRANSPORTS", string>;
  }
}

const { VITE_EDGES, VITE_CONTROL, VITE_TRANSPORTS } = import.meta.env;

const tell = async (what: string, body: object = {}): Promise<void> => {
  const answer = await fetch(`${VITE_CONTROL}/${what}`, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`);
};

const world: World = {
  urls: VITE_EDGES.split(","),
  publish: (id, content, event) => tell("publish", { id, content, event }),
  kill: (url) => tell("kill", { url }),
  revive: () => tell("revive"),
  forget: () => tell("forget"),
};

suite(world, VITE_TRANSPORTS.split(",") as never);
