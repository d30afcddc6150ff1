import { expect, test } from "vitest";

import { greetingSection } from "../../src/greeting.ts";

test.for([
  [0, "Good morning!"],
  [11, "Good morning!"],
  [12, "Good day!"],
  [23, "Good day!"],
] as const)("at %i o'clock shows %s", ([hour, greeting]) => {
  expect(greetingSection(new Date(2026, 0, 1, hour)).textContent).toBe(greeting);
});
