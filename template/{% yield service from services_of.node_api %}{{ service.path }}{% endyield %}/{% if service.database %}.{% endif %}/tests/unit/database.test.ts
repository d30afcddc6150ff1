import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { expect, test } from "vitest";

import { passwordIn } from "../../src/database.ts";

test("each connection reads the password, and uses the last one until the server accepts a new one", async () => {
  const file = path.join(await mkdtemp(path.join(tmpdir(), "password-")), "password");
  let accepted = "old";
  const password = passwordIn(file, (password) => Promise.resolve(password === accepted));

  await writeFile(file, "old\n");
  expect(await password()).toBe("old");
  await writeFile(file, "new");
  expect(await password()).toBe("old");
  accepted = "new";
  expect(await password()).toBe("new");
});
