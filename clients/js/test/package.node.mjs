/** The package works for a type checker and for Node, and as the documentation shows it. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const HERE = join(import.meta.dirname, "..");
const TSC = join(HERE, "node_modules/typescript/bin/tsc");
const CONSUMER = `
import { Comet, type Message, type State } from "comet-client";

const comet = new Comet(["https://a.example", "https://b.example"], { channels: ["room"], history: 5, getToken: async () => "t" });
const end: () => void = comet.subscribe("room", ({ id, content, seq }: Message) => console.log(id, content, seq?.length));
comet.on("state", ({ state }: State) => state === "open");
// @ts-expect-error: there is no such event
comet.on("nothing", () => {});
// @ts-expect-error: private members are not for others
comet._sink;
end();
`;

let folder = "";
const run = (program, ...words) =>
  execFileSync(program, words, { cwd: folder, encoding: "utf8", env: { ...process.env, npm_config_loglevel: "error" } });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "comet-package-"));
  const packed = run("npm", "pack", HERE).trim().split("\n").at(-1);
  mkdirSync(join(folder, "node_modules"));
  run("tar", "xzf", packed);
  run("mv", "package", "node_modules/comet-client");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "consumer.ts"), CONSUMER);
  cpSync(join(HERE, "examples/useChannel.tsx"), join(folder, "example.tsx"));
  for (const name of ["@types", "csstype"]) symlinkSync(join(HERE, "node_modules", name), join(folder, "node_modules", name));
});

afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ["node16", "node16"],
  ["esnext", "bundler"],
])("its types are found and right with module %s and moduleResolution %s", (module, resolution) => {
  const flags = ["--noEmit", "--strict", "--types", "", "--lib", "es2022,dom", "--target", "es2022", "--jsx", "react-jsx"];
  const check = () =>
    run(process.execPath, TSC, "consumer.ts", "example.tsx", ...flags, "--module", module, "--moduleResolution", resolution);
  try {
    check();
  } catch (error) {
    expect(error.stdout).toBe("");
  }
});

test("it can be imported, and holds only what is built", () => {
  const script = 'import("comet-client").then(({ Comet }) => console.log(typeof new Comet("http://a.test").subscribe))';
  expect(run(process.execPath, "-e", script).trim()).toBe("function");
  const names = run("ls", "node_modules/comet-client", "node_modules/comet-client/dist").split(/\s+/);
  expect(names).toEqual(expect.arrayContaining(["comet.d.mts", "comet.js", "comet.mjs", "package.json"]));
  expect(readFileSync(join(folder, "node_modules/comet-client/dist/comet.d.mts"), "utf8")).not.toMatch(/private|_sink/);
});
