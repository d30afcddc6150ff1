import { expect, test } from "vitest";

import { baseUrl } from "./setup.ts";

test("a rate comes from the stub", async () => {
  const response = await fetch(`${baseUrl}/api/rates/USD`);

  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ currency: "USD", rate: 1.25 });
});

test("an unknown currency is not found", async () => {
  const response = await fetch(`${baseUrl}/api/rates/XXX`);

  expect(response.status).toBe(404);
});
