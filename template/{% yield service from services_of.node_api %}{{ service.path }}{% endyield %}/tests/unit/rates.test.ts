import { expect, test, vi } from "vitest";

import { fetchRates } from "../../src/rates.ts";
import { mockedApp } from "./helpers.ts";

/** Builds the application with a function that replaces the external API. */
function appWithExternalApi(answer: (url: string) => Promise<Response> | Response) {
  vi.stubGlobal("fetch", vi.fn(answer));
  return mockedApp({ getRates: () => fetchRates("http://rates") });
}

test("a rate comes from the external API", async () => {
  const app = await appWithExternalApi((url) => {
    expect(url).toBe("http://rates/EUR");
    return Response.json({ rates: { USD: 1.08 } });
  });

  const response = await app.inject("/api/rates/usd");

  expect(response.statusCode).toBe(200);
  expect(response.json()).toEqual({ currency: "USD", rate: 1.08 });
});

test("an unknown currency is not found", async () => {
  const app = await appWithExternalApi(() => Response.json({ rates: { USD: 1.08 } }));

  const response = await app.inject("/api/rates/xxx");

  expect(response.statusCode).toBe(404);
  expect(response.json()).toEqual({ detail: "no such currency: XXX" });
});

test.for<[string, () => Promise<Response> | Response]>([
  ["a timeout", () => Promise.reject(new DOMException("too slow", "TimeoutError"))],
  ["an error", () => new Response(null, { status: 503 })],
  ["a page", () => new Response("<html>")],
  ["an answer without rates", () => Response.json({ result: "error" })],
  ["a list", () => Response.json(["USD"])],
])("%s from the external API causes a 502", async ([, answer]) => {
  const app = await appWithExternalApi(answer);

  const response = await app.inject("/api/rates/USD");

  expect(response.statusCode).toBe(502);
  expect(response.json()).toEqual({ detail: "the rates are not available now" });
});
