import type { FastifyInstance } from "fastify";
import { beforeEach, expect, test } from "vitest";

import type { Item } from "../../src/items.ts";
import { mockedApp } from "./helpers.ts";

const now = new Date("2030-01-01T00:00:00Z");

let stored: Item[];
let app: FastifyInstance;

beforeEach(async () => {
  stored = [];
  app = await mockedApp({
    items: {
      add: (name) => {
        const item = { id: stored.length + 1, name, created_at: now };
        stored.push(item);
        return Promise.resolve(item);
      },
      list: () => Promise.resolve(stored),
    },
  });
});

test("a new item is stored", async () => {
  const response = await app.inject({
    method: "POST",
    url: "/api/items",
    payload: { name: "  lamp " },
  });

  expect(response.statusCode).toBe(201);
  expect(response.json()).toEqual({ id: 1, name: "lamp", created_at: "2030-01-01T00:00:00.000Z" });
  expect(stored.map((item) => item.name)).toEqual(["lamp"]);
});

test.for([
  ["an empty name", '{"name": ""}'],
  ["a name of spaces", '{"name": "   "}'],
  ["a name that is too long", JSON.stringify({ name: "x".repeat(201) })],
  ["a name with NUL", '{"name": "a\\u0000b"}'],
  ["a lone surrogate", '{"name": "\\ud800"}'],
  ["a number", '{"name": 1}'],
  ["no name", "{}"],
  ["no JSON", "{"],
])("%s is refused", async ([, payload]) => {
  const response = await app.inject({
    method: "POST",
    url: "/api/items",
    headers: { "Content-Type": "application/json" },
    payload,
  });

  expect(response.statusCode).toBe(422);
  expect(stored).toEqual([]);
});

test("a refusal names the field", async () => {
  const response = await app.inject({ method: "POST", url: "/api/items", payload: { name: "" } });

  expect(response.json()).toMatchObject({ detail: [{ loc: ["body", "name"] }] });
});

test.for(["limit=0", "limit=101", "limit=many", "after=-1", "after=2147483648"])(
  "a list has a limit: %s is refused",
  async (query) => {
    expect((await app.inject(`/api/items?${query}`)).statusCode).toBe(422);
  },
);

test("items are listed", async () => {
  stored.push({ id: 7, name: "lamp", created_at: now });

  const response = await app.inject("/api/items");

  expect(response.json<Item[]>().map((item) => item.id)).toEqual([7]);
});
