import { expect, test } from "vitest";

import { baseUrl } from "./setup.ts";

async function scriptPath(): Promise<string> {
  const html = await (await fetch(baseUrl)).text();
  return /<script[^>]* src="([^"]+)"/.exec(html)?.[1] ?? "no script in the page";
}

test("is healthy", async () => {
  const response = await fetch(`${baseUrl}/health`);

  expect(response.status).toBe(200);
  expect(await response.text()).toBe("ok");
});

test.for(["/", "/a/page/of/the/app"])(
  "serves the page at %s, which browsers must not cache",
  async (path) => {
    const response = await fetch(`${baseUrl}${path}`);

    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'self'");
    expect(response.headers.get("permissions-policy")).toContain("camera=()");
  },
);

test("serves the built script, which browsers may cache", async () => {
  const response = await fetch(`${baseUrl}${await scriptPath()}`);

  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toContain("javascript");
  expect(response.headers.get("cache-control")).toContain("immutable");
});

test.for(["/.env", "/.git/config", "/a/.env"])(
  "answers 404 for %s, not with the page",
  async (path) => {
    expect((await fetch(`${baseUrl}${path}`)).status).toBe(404);
  },
);

test("answers 404 for a missing asset, not with the page", async () => {
  const response = await fetch(`${baseUrl}/assets/missing.js`);

  expect(response.status).toBe(404);
});
