import { expect, test } from "vitest";

import { baseUrl } from "./setup.ts";

test("the running service is ready", async () => {
  const response = await fetch(`${baseUrl}/ready`);

  expect(await response.json()).toEqual({ status: "ready", failing: [] });
  expect(response.status).toBe(200);
});
