import { expect, test, vi } from "vitest";

import { fetchRates } from "../../src/rates.ts";
import { mockedApp } from "./helpers.ts";

test("the id of the door is returned, logged, and passed to the external API", async () => {
  const lines: string[] = [];
  const fetch = vi.fn(() => Promise.resolve(Response.json({ rates: { USD: 1.08 } })));
  vi.stubGlobal("fetch", fetch);
  const app = await mockedApp(
    { getRates: () => fetchRates("http://rates") },
    { logger: { stream: { write: (line) => lines.push(line) } } },
  );

  const response = await app.inject({
    url: "/api/rates/USD",
    headers: { "X-Request-ID": "from-the.door_1" },
  });

  expect(response.headers["x-request-id"]).toBe("from-the.door_1");
  expect(fetch).toHaveBeenCalledWith(
    "http://rates/EUR",
    expect.objectContaining({ headers: { "x-request-id": "from-the.door_1" } }),
  );
  expect(lines.map((line) => (JSON.parse(line) as { request_id: string }).request_id)).toEqual([
    "from-the.door_1",
    "from-the.door_1",
  ]);
});

test.for(["", "x".repeat(65), "a b", 'a"b'])("the id %j is replaced", async (given) => {
  const app = await mockedApp();

  const response = await app.inject({ url: "/nothing", headers: { "X-Request-ID": given } });

  expect(response.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
});

test("health checks are not logged", async () => {
  const lines: string[] = [];
  const app = await mockedApp({}, { logger: { stream: { write: (line) => lines.push(line) } } });

  await app.inject("/health");
  await app.inject("/ready");

  expect(lines).toEqual([]);
});
