import { request } from "./api.ts";
import { createForm, createSection, errorMessage } from "./dom.ts";

interface Item {
  id: number;
  name: string;
  created_at: string;
}

/** Lists the items, with a form to add one. */
export function itemsSection(): HTMLElement {
  const list = document.createElement("ul");

  async function refresh(): Promise<void> {
    const items = await request<Item[]>("/api/items");
    list.replaceChildren(
      ...items.map((item) => {
        const entry = document.createElement("li");
        entry.textContent = item.name;
        return entry;
      }),
    );
  }

  const field = document.createElement("input");
  const form = createForm("Name", field, "Add", async (name) => {
    await request<Item>("/api/items", { name });
    field.value = "";
    await refresh();
    return `Added ${name}`;
  });

  refresh().catch((error: unknown) => {
    list.textContent = errorMessage(error);
  });
  return createSection("Items", list, form);
}
