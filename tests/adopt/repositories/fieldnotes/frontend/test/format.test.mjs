import assert from "node:assert/strict";
import test from "node:test";
import { row } from "../public/format.js";

test("a single bird has no count", () => {
  assert.equal(row({ species: "Upupa epops", count: 1, score: 1 }), "<li><em>Upupa epops</em>: 1.0</li>");
});

test("several birds", () => {
  assert.match(row({ species: "Parus major", count: 3, score: 0.25 }), /\(3\): 0\.3/);
});
