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

test.for([
  ["203.0.113.9", "10.0.0.2", "203.0.113.9"],
  ["192.0.2.1, 203.0.113.9", "10.0.0.2", "203.0.113.9"], // The client forged the first address.
  ["192.0.2.1", "203.0.113.9", "203.0.113.9"], // No proxy sent this.
])("of %j from %s, the address %s is the client's", async ([forwarded, from, client]) => {
  const app = await mockedApp({}, { trustProxy: "uniquelocal" });
  app.get("/address", (request) => request.ip);

  const response = await app.inject({
    url: "/address",
    remoteAddress: from,
    headers: { "X-Forwarded-For": forwarded },
  });

  expect(response.body).toBe(client);
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
