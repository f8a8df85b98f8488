import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["test/**/*.test.ts", "test/package.node.mjs"], testTimeout: 30_000 } });
