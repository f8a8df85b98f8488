// Builds the client into publisher/static/, whose files are committed: the same source gives the same bytes.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const MAX_SIZE = 6000; // bytes of comet.js, gzipped
const HERE = import.meta.dirname;
const OUT = join(HERE, "../../publisher/static");

// Members that only the parts of the client use among themselves. Members that are public, or that the server or another
// tab reads, keep their names: two tabs may run two versions of the client.
const INTERNAL = `addChannel answer attachUrl cancel changeChannels channelRefused checkSilence edgeUrl end isFollowing
  linkEnded linkOpened linkReceived needHistory noteActivity onPageEvent openedAt options ping receive removeChannel
  requested restartChannel retryAfter retryNow setState transportName updateChannels wanted wantedChannels`;
/** Finds internal and private members in the source. */
const MEMBERS = new RegExp(`\\b(_[a-z]\\w*|${INTERNAL.split(/\s+/).join("|")})\\b`, "g");

const options = {
  bundle: true,
  minify: true,
  target: "es2020",
  mangleProps: new RegExp(`^_|^(${INTERNAL.split(/\s+/).join("|")})$`),
  mangleCache: shortNames(),
  legalComments: "none",
  tsconfigRaw: { compilerOptions: { alwaysStrict: false, useDefineForClassFields: false } },
  absWorkingDir: HERE,
};
await build({ ...options, entryPoints: ["src/global.ts"], format: "iife", outfile: join(OUT, "comet.js") });
await build({ ...options, entryPoints: ["src/index.ts"], format: "esm", outfile: join(OUT, "comet.mjs") });
writeFileSync(join(OUT, "comet.d.mts"), declarations());
for (const name of ["comet.js", "comet.mjs", "comet.d.mts"]) cpSync(join(OUT, name), join(HERE, "dist", name)); // of the package

const size = gzipSync(readFileSync(join(OUT, "comet.js")), { level: 9 }).length;
console.log(`comet.js: ${size} bytes gzipped, at most ${MAX_SIZE}`);
if (size > MAX_SIZE) process.exit(1);

/** A short name for each member. Members that no file has both may share one: that compresses well. */
function shortNames() {
  const letters = [..."tesirnohalcdpumfgbvkqwyxABCDEFGHIJKLMNOPQRSTUVWXYZ$_"]; // those that minified code has most come first
  const free = [...letters, ...letters.map((letter) => letter + 0)];
  const sources = readdirSync(join(HERE, "src"), { recursive: true }).filter((name) => name.endsWith(".ts")).sort();
  const files = sources.map((name) => readFileSync(join(HERE, "src", name), "utf8").match(MEMBERS) || []);
  const names = {};
  for (const member of new Set(files.flat())) {
    const neighbours = files.filter((members) => members.includes(member)).flat();
    const taken = new Set(neighbours.map((neighbour) => names[neighbour]));
    names[member] = free.find((name) => !taken.has(name));
  }
  return names;
}

/** One file of types: the public declarations of types.ts and of the class in comet.ts. */
function declarations() {
  const folder = mkdtempSync(join(tmpdir(), "comet-types-"));
  const tsc = join(HERE, "node_modules/typescript/bin/tsc");
  const flags = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--rootDir", "src", "--outDir", folder];
  try {
    execFileSync(process.execPath, [tsc, "-p", join(HERE, "tsconfig.build.json"), ...flags], { cwd: HERE, stdio: "inherit" });
    return ["types", "comet"].map((name) => publicPart(readFileSync(join(folder, `${name}.d.ts`), "utf8"))).join("");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function publicPart(text) {
  return text
    .split("\n")
    .filter((line) => !/^import |^\s+private |^export \{\};/.test(line))
    .join("\n");
}
