import { expect, test } from "vitest";

import { baseUrl } from "./setup.ts";

test("reaches the API through the page's own address", async () => {
  const response = await fetch(`${baseUrl}/api/rates/USD`);

  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ currency: "USD", rate: expect.any(Number) as number });
});

test("passes on errors of the API", async () => {
  const response = await fetch(`${baseUrl}/api/rates/XXX`);

  expect(response.status).toBe(404);
});
