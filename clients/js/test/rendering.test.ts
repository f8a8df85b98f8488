/** On a server that renders a page there is no page yet: a client that is made there does nothing, and breaks nothing. */
import { afterEach, expect, test, vi } from "vitest";
import { Comet } from "../src/index.js";

afterEach(() => vi.unstubAllGlobals());

test.each(["/", "/comet/", ["/"], "//push.example"])("an address relative to the page, %s, leads nowhere there", async (url) => {
  expect(globalThis.location).toBeUndefined();
  const fetch = vi.fn();
  vi.stubGlobal("fetch", fetch);
  vi.stubGlobal("WebSocket", fetch);
  const comet = new Comet(url, { channels: ["room"], history: 1, share: false });
  const error = vi.fn();
  comet.on("error", error);
  const end = comet.subscribe("other", () => {});
  comet.reconnect();
  await new Promise((done) => setTimeout(done, 50));
  expect(comet.state).toEqual({ state: "idle" });
  expect(comet.positions).toEqual({ room: "", other: "" });
  end();
  comet.close();
  expect(fetch).not.toHaveBeenCalled();
  expect(error).not.toHaveBeenCalled();
});

test("a whole address leads there as anywhere", async () => {
  const fetch = vi.fn(() => new Promise(() => {}));
  vi.stubGlobal("fetch", fetch);
  const comet = new Comet("https://push.no:8443", { channels: ["room"], share: false, transports: ["poll"] });
  await vi.waitFor(() => expect(fetch).toHaveBeenCalled());
  expect(comet.state.url).toBe("https://push.no:8443");
  comet.close();
});

test("an address that is no address is still an error where a page is", () => {
  vi.stubGlobal("location", { href: "https://app.example/page" });
  expect(() => new Comet("http://")).toThrow();
});
