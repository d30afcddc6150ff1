import { expect, test, vi } from "vitest";

import { cached, type Cache } from "../../src/cache.ts";

test("a value is fetched once and cached for the given time", async () => {
  const values = new Map<string, string>();
  const set = vi.fn((key: string, value: string) => Promise.resolve(values.set(key, value)));
  const cache: Cache = { get: (key) => Promise.resolve(values.get(key) ?? null), set };
  const fetch = vi.fn(() => Promise.resolve({ USD: 1.08 }));

  expect(await cached(cache, "rates", 60, fetch)).toEqual({ USD: 1.08 });
  expect(await cached(cache, "rates", 60, fetch)).toEqual({ USD: 1.08 });

  expect(fetch).toHaveBeenCalledOnce();
  expect(set).toHaveBeenCalledWith("rates", '{"USD":1.08}', { EX: 60 });
});

const refused = () => Promise.reject(new Error("connection refused"));

test.for<[string, Cache]>([
  ["unavailable", { get: refused, set: refused }],
  ["full", { get: () => Promise.resolve(null), set: refused }],
])("a value is returned even if the cache is %s", async ([, cache]) => {
  expect(await cached(cache, "rates", 60, () => Promise.resolve("value"))).toBe("value");
});
