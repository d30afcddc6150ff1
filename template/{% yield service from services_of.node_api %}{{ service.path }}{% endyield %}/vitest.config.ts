// Kept by the template: copier update merges its changes into this file.
import { defineConfig } from "vitest/config";

// The test runner sets the path of its reporter.
const eventsReporter = process.env.TEST_EVENTS_REPORTER;

export default defineConfig({
  test: {
    // Without it, Vitest chooses its reporter itself.
    ...(eventsReporter && { reporters: [eventsReporter, "default"] }),
    projects: [
      {
        test: {
          name: "unit",
          include: ["tests/unit/**/*.test.ts"],
          unstubGlobals: true,
        },
      },
      {
        test: {
          name: "integration",
          include: ["tests/integration/**/*.test.ts"],
          globalSetup: "tests/integration/setup.ts",
        },
      },
    ],
  },
});
