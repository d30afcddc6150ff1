// Kept by the template: copier update merges its changes into this file.
import { defineConfig } from "vitest/config";

// The test runner sets this variable to the path of its reporter.
const eventsReporter = process.env.TEST_EVENTS_REPORTER;

export default defineConfig({
  test: {
    // Without the variable, Vitest uses its default reporter.
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
