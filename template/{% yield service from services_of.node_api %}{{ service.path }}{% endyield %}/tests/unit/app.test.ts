import { expect, test } from "vitest";

import { mockedApp } from "./helpers.ts";

test("an unknown route is not found", async () => {
  const app = await mockedApp();

  const response = await app.inject("/api/nothing");

  expect(response.statusCode).toBe(404);
  expect(response.json()).toEqual({ detail: "Not Found" });
});

test("an unexpected error reveals nothing", async () => {
  const app = await mockedApp({ getRates: () => Promise.reject(new Error("a secret")) });

  const response = await app.inject("/api/rates/USD");

  expect(response.statusCode).toBe(500);
  expect(response.json()).toEqual({ detail: "Internal Server Error" });
});

test("the documentation is off by default", async () => {
  const app = await mockedApp();

  expect((await app.inject("/api/docs")).statusCode).toBe(404);
  expect((await app.inject("/api/openapi.json")).statusCode).toBe(404);
});

test("the routes are documented", async () => {
  const app = await mockedApp({}, { docs: true });

  const response = await app.inject("/api/openapi.json");

  const { paths } = response.json<{ paths: object }>();
  expect(paths).toHaveProperty("/health");
  expect(paths).not.toHaveProperty("/api/openapi.json");
  expect((await app.inject("/api/docs")).statusCode).toBe(200);
});
