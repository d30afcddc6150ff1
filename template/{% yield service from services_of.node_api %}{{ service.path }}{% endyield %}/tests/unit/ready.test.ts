import { expect, test } from "vitest";

import { mockedApp } from "./helpers.ts";

const answer = () => Promise.resolve();
const refuse = () => Promise.reject(new Error("postgresql://user:secret@database"));
const hang = () => new Promise<never>(() => undefined);

test("a service whose dependencies answer is ready", async () => {
  const app = await mockedApp({ checks: { one: answer, two: answer } });

  const response = await app.inject("/ready");

  expect(response.statusCode).toBe(200);
  expect(response.json()).toEqual({ status: "ready", failing: [] });
});

test.for([
  ["refuses", refuse],
  ["hangs", hang],
] as const)("only the name of a dependency that %s is reported", async ([, check]) => {
  const app = await mockedApp({ checks: { one: answer, two: check } }, { readyTimeout: 10 });

  const response = await app.inject("/ready");

  expect(response.statusCode).toBe(503);
  expect(response.json()).toEqual({ status: "not ready", failing: ["two"] });
});
