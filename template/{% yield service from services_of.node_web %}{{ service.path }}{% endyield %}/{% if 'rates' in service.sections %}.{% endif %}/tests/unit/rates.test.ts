import { expect, test, vi } from "vitest";

import { ratesSection } from "../../src/rates.ts";
import { mockApi, submit } from "./helpers.ts";

test("shows the rate of a currency", async () => {
  mockApi({ "GET /api/rates/USD": { currency: "USD", rate: 1.25 } });
  const section = ratesSection();

  submit(section, "usd");

  await vi.waitFor(() => expect(section.textContent).toContain("1 EUR = 1.25 USD"));
});

test("shows an error, then enables the form again", async () => {
  mockApi({});
  const section = ratesSection();

  submit(section, "XXX");
  expect(section.querySelector("button")?.disabled).toBe(true);

  await vi.waitFor(() => expect(section.textContent).toContain("The API answered 404"));
  expect(section.querySelector("button")?.disabled).toBe(false);
});
