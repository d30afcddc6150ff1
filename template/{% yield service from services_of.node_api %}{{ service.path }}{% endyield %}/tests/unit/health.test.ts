import { expect, test } from "vitest";

import { mockedApp } from "./helpers.ts";

test("health needs no other service", async () => {
  const app = await mockedApp();

  const response = await app.inject("/health");

  expect(response.statusCode).toBe(200);
  expect(response.json()).toEqual({ status: "ok" });
});
