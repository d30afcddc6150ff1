import { expect, test } from "vitest";

import { readSettings } from "../../src/settings.ts";

test("an error names each invalid variable", () => {
  expect(() => readSettings({ RATES_URL: "nowhere" })).toThrow("RATES_URL");
});
