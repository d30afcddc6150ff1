import { request } from "./api.ts";
import { createForm, createSection } from "./dom.ts";

interface Rate {
  currency: string;
  rate: number;
}

/** Shows what one euro is worth in another currency. */
export function ratesSection(): HTMLElement {
  const field = document.createElement("input");
  field.value = "USD";
  field.pattern = "[A-Za-z]{3}";
  field.title = "The three letters of a currency";

  const form = createForm("Currency", field, "Look up", async (entered) => {
    const path = `/api/rates/${encodeURIComponent(entered.toUpperCase())}`;
    const { currency, rate } = await request<Rate>(path);
    return `1 EUR = ${rate} ${currency}`;
  });
  return createSection("Exchange rates", form);
}
