// The same tests in Chromium, and those against real edges (*.browser.ts): tests/browser/test_client.py starts both.
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.{browser,test}.ts"],
    exclude: ["test/rendering.test.ts"], // of servers that render pages, where there is no page
    testTimeout: 60_000, // a loaded machine must not make a test red: killed edges start again between two tests
    hookTimeout: 60_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] } }),
      instances: [{ browser: "chromium" }],
    },
  },
});
