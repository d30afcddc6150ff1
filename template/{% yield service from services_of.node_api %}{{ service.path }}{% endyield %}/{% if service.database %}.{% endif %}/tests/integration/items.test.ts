import { expect } from "vitest";

import { itemStore } from "../../src/items.ts";
import { test } from "./database.ts";
import { baseUrl } from "./setup.ts";

test("a stored item is listed", async () => {
  const created = await fetch(`${baseUrl}/api/items`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: `lamp ${crypto.randomUUID()}` }),
  });

  expect(created.status).toBe(201);
  const items: unknown = await (await fetch(`${baseUrl}/api/items`)).json();
  expect(items).toContainEqual(await created.json());
});

test("the database sets the id and the time", async ({ transaction }) => {
  const item = await itemStore(transaction).add("lamp");

  expect(item.id).toBeGreaterThan(0);
  expect(Math.abs(Date.now() - item.created_at.getTime())).toBeLessThan(60_000);
});

test("the oldest item comes first", async ({ transaction }) => {
  const items = itemStore(transaction);
  for (const name of ["lamp", "chair", "table"]) await items.add(name);

  const names = (await items.list({ limit: 100, after: 0 })).map((item) => item.name);

  expect(names).toEqual(["lamp", "chair", "table"]);
});
