import { spawnSync } from "node:child_process";

import { expect, test } from "vitest";

test("a crash is logged as one line of JSON", () => {
  const options = ["--import", "./src/crash.ts", "--eval", 'throw new TypeError("lost")'];
  const env = { ...process.env, LOG_FORMAT: "json" };
  const { status, stdout, stderr } = spawnSync(process.execPath, options, {
    env,
    encoding: "utf8",
  });

  expect(status).toBe(1);
  expect(stderr).toBe("");
  const { level, msg, err } = JSON.parse(stdout) as { level: number; msg: string; err: object };
  expect({ level, msg }).toEqual({ level: 60, msg: "lost" });
  expect(err).toMatchObject({ type: "TypeError", stack: expect.stringContaining("at ") as string });
});
