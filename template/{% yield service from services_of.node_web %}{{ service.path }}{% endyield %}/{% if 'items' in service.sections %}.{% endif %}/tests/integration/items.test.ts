import { expect, test } from "vitest";

import { baseUrl } from "./setup.ts";

test("stores an item through the page's own address", async () => {
  const name = crypto.randomUUID();

  const added = await fetch(`${baseUrl}/api/items`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });

  expect(added.status).toBe(201);
  const items: unknown = await (await fetch(`${baseUrl}/api/items`)).json();
  expect(items).toContainEqual(expect.objectContaining({ name }));
});
