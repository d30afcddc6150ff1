import { expect, test, vi } from "vitest";

import { itemsSection } from "../../src/items.ts";
import { mockApi, submit } from "./helpers.ts";

const lamp = { id: 1, name: "<b>lamp</b>", created_at: "2026-01-01T00:00:00Z" };

test("lists the items as text, never as markup", async () => {
  mockApi({ "GET /api/items": [lamp] });

  const section = itemsSection();

  await vi.waitFor(() => expect(section.querySelector("li")?.textContent).toBe(lamp.name));
  expect(section.querySelector("b")).toBeNull();
});

test("adds an item and shows the new list", async () => {
  const answers: Record<string, unknown> = { "GET /api/items": [], "POST /api/items": lamp };
  const fetchMock = mockApi(answers);
  const section = itemsSection();
  answers["GET /api/items"] = [lamp];

  submit(section, lamp.name);

  await vi.waitFor(() => expect(section.querySelectorAll("li")).toHaveLength(1));
  expect(fetchMock).toHaveBeenCalledWith(
    "/api/items",
    expect.objectContaining({ method: "POST", body: JSON.stringify({ name: lamp.name }) }),
  );
});

test("shows an error of the API", async () => {
  mockApi({});

  const section = itemsSection();

  await vi.waitFor(() => expect(section.textContent).toContain("The API answered 404"));
});
