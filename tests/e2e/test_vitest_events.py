"""The Vitest reporter vitest_events.mjs in real runs of each supported Vitest version."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, sh

REPORTER = ROOT / "template/scripts/test_runner/plugins/vitest_events.mjs"

#: Loads the reporter as the template's vite.config.ts does.
CONFIG = """\
import { defineConfig } from "vitest/config";

const eventsReporter = process.env.TEST_EVENTS_REPORTER;

export default defineConfig({
  test: {
    ...(eventsReporter && { reporters: [eventsReporter, "default"] }),
    projects: [{ test: { name: "unit", include: ["tests/**/*.test.ts"] } }],
  },
});
"""

#: Vitest strips the types, so line numbers are right only if they are mapped back.
FILES = {
    "src/lib.ts": """\
export interface Loaded {
  value: number;
}

export function load(text: string): Loaded {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error("no such thing", { cause: error });
  }
}
""",
    "tests/all.test.ts": """\
import { beforeAll, describe, expect, it } from "vitest";
import { load } from "../src/lib";

interface Counter {
  count: number;
}
const counter: Counter = { count: 0 };

describe("suite", () => {
  it("passes", () => {});
  it("fails", () => {
    console.log("one\\ntwo\\nthree");
    console.error("bad");
    expect({ a: 1, b: [1, 2, 3] }).toEqual({ a: 1, b: [1, 2, 4] });
  });
  it("chains", () => {
    load("{");
  });
  it.skip("skips", () => {});
  it.todo("will be");
  it("skips itself", ({ skip }) => skip());
  it.fails("fails as expected", () => expect(1).toBe(2));
  it("is flaky", { retry: 2 }, () => {
    counter.count += 1;
    expect(counter.count).toBe(3);
  });
  it("is hopeless", { retry: 1 }, () => expect("a").toBe("b"));
  it("is twice", () => {});
  it("is twice", () => {});
  it.each(["a b", "[x] > y", "é\\ud800", "1 passed"])("has a name: %s", () => {});
  it("throws no error", () => {
    throw "a string";
  });
  it("differs late", () => {
    const numbers = [...Array(60).keys()];
    expect(numbers).toEqual(numbers.map((number) => (number === 45 ? 99 : number)));
  });
});

describe("hooks", () => {
  beforeAll(() => {
    throw new TypeError("before all");
  });
  it("never runs", () => {});
});
""",
    "tests/syntax.test.ts": 'import { it } from "vitest";\nit("a", () => {\n',
    "tests/missing.test.ts": 'import { it } from "vitest";\n\nimport "./gone";\nit("a", () => {});\n',
    "tests/throws.test.ts": """\
interface Nothing {
  x?: { y: number };
}
const nothing: Nothing = {};
console.log(nothing.x!.y);
""",
    "tests/rejects.test.ts": """\
import { it } from "vitest";

it("leaks", async () => {
  void Promise.reject(new RangeError("too late"));
  await new Promise((resolve) => setTimeout(resolve, 50));
});
""",
    "tests/good.test.ts": """\
import { expect, it } from "vitest";

it("first", () => {});
it("second", () => expect(1).toBe(1));
""",
    "tests/stops.test.ts": """\
import { expect, it } from "vitest";

it("first", () => {});
it("second", () => expect(1).toBe(2));
it("third", () => {});
""",
}


@dataclass
class Run:
    """A run of Vitest: exit code, output and events."""

    code: int
    output: str
    events: list[dict[str, Any]]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]

    def outcomes(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.of("result"):
            found.setdefault(one["test"], []).append(one["outcome"])
        return found

    def failures(self, test: str, event: str = "result") -> list[dict[str, Any]]:
        found = [one for one in self.of(event) if one["test"].endswith(test)]
        return [one["failure"] for one in found if "failure" in one]


@dataclass
class Project:
    """A folder with a version of Vitest and tests."""

    root: Path
    version: str

    def run(self, *args: str, **env: str) -> Run:
        events = self.root / "events.jsonl"
        events.unlink(missing_ok=True)
        recorded = {"TEST_EVENTS": str(events), "TEST_EVENTS_REPORTER": str(REPORTER)}
        env = {**recorded, "NO_COLOR": "1", **env}
        done = sh("npx", "--no-install", "vitest", "run", *args, cwd=self.root, **env)
        lines = events.read_bytes().splitlines() if events.exists() else []
        assert all(len(line) <= 4096 for line in lines)
        return Run(done.returncode, done.stdout, [json.loads(line) for line in lines])


@pytest.fixture(scope="module", params=["3", pytest.param("4", marks=pytest.mark.drills), "5"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project for each version of Vitest."""
    if not shutil.which("npm"):
        reason = "npm is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    root = tmp_path_factory.mktemp(f"vitest-{request.param}")
    for name, text in {"vite.config.ts": CONFIG, "package.json": "{}\n", **FILES}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    options = ("--no-audit", "--no-fund", "--silent")
    done = sh("npm", "install", *options, f"vitest@{request.param}", cwd=root)
    assert done.returncode == 0, done.stdout
    return Project(root, request.param)


@pytest.fixture(scope="module")
def everything(project: Project) -> Run:
    """The only run of the project with all outcomes."""
    return project.run()


def test_a_run_has_begin_and_end(project: Project, everything: Run) -> None:
    begin = everything.events[0]
    assert begin["version"].startswith(f"{project.version}.")
    kept = {"event": "begin", "tool": "vitest", "xdist": False, "workers": 0}
    assert begin == kept | {"version": begin["version"]}
    totals = [one["tests"] for one in everything.of("total")]
    assert totals == sorted(totals)
    # Files that cannot be loaded are not counted as loaded.
    files = [(one["files"], one["of"]) for one in everything.of("total")]
    assert files == [(number, 7) for number in range(1, len(files) + 1)]
    finished = {one["test"] for one in everything.of("finish")}
    assert totals[-1] == len(finished) == len(everything.outcomes())
    # A test whose beforeAll failed ends without a `start`.
    never = {"tests/all.test.ts > hooks > never runs"}
    assert {one["test"] for one in everything.of("start")} == finished - never
    assert everything.code == 1
    assert everything.events[-1] == {"event": "end", "exit": 1}


def test_every_outcome(everything: Run) -> None:
    suite = "tests/all.test.ts > suite > "
    found = everything.outcomes()
    assert {name.removeprefix(suite): outcome for name, outcome in found.items()} == {
        "passes": ["passed"],
        "fails": ["failed"],
        "chains": ["failed"],
        "skips": ["skipped"],
        "will be": ["skipped"],
        "skips itself": ["skipped"],
        "fails as expected": ["passed"],
        "is flaky": ["rerun", "rerun", "passed"],
        "is hopeless": ["rerun", "failed"],
        "is twice": ["passed"],
        "is twice (2)": ["passed"],
        "has a name: a b": ["passed"],
        "has a name: [x] > y": ["passed"],
        "has a name: é\ud800": ["passed"],
        "has a name: 1 passed": ["passed"],
        "throws no error": ["failed"],
        "differs late": ["failed"],
        "tests/all.test.ts > hooks > never runs": ["skipped"],
        "tests/rejects.test.ts > leaks": ["passed"],
        "tests/good.test.ts > first": ["passed"],
        "tests/good.test.ts > second": ["passed"],
        "tests/stops.test.ts > first": ["passed"],
        "tests/stops.test.ts > second": ["failed"],
        "tests/stops.test.ts > third": ["passed"],
    }


def test_the_content_of_a_failure(everything: Run) -> None:
    unequal = "expected { a: 1, b: [ 1, 2, 3 ] } to deeply equal { a: 1, b: [ 1, 2, 4 ] }"
    [failure] = everything.failures("suite > fails")
    assert failure == {
        "type": "AssertionError",
        "message": unequal,
        "path": "tests/all.test.ts",
        "line": line("tests/all.test.ts", "b: [1, 2, 4]"),
        "excerpt": [
            ">   expect({ a: 1, b: [1, 2, 3] }).toEqual({ a: 1, b: [1, 2, 4] });",
            f"E   AssertionError: {unequal}",
            "E   - Expected",
            "E   + Received",
            "E   -     4,",
            "E   +     3,",
        ],
        "captured": ["two", "three", "bad"],
    }
    [failure] = everything.failures("suite > chains")
    assert (failure["type"], failure["message"]) == ("Error", "no such thing")
    assert (failure["path"], failure["line"]) == ("src/lib.ts", line("src/lib.ts", "new Error"))
    assert failure["excerpt"][0].startswith("E   SyntaxError: ")
    assert failure["excerpt"][-1] == "E   Error: no such thing"
    [failure] = everything.failures("suite > throws no error")
    assert (failure["message"], failure["path"]) == ("a string", "tests/all.test.ts")
    [failure] = everything.failures("suite > differs late")
    assert [re.sub(r"\s+", " ", one) for one in failure["excerpt"][-2:]] == ["E - 99,", "E + 45,"]
    messages = [one["message"].split(" //")[0] for one in everything.failures("suite > is flaky")]
    assert messages == ["expected 1 to be 3", "expected 2 to be 3"]
    assert len(everything.failures("suite > is hopeless")) == 2
    allowed = {
        one["test"].rpartition(" > ")[2]: one["attempts"]
        for one in everything.of("result")
        if one["outcome"] == "rerun"
    }
    assert allowed == {"is flaky": 3, "is hopeless": 2}


def test_errors_that_prevent_tests_from_running(everything: Run) -> None:
    errors = {one["test"]: one["failure"] for one in everything.of("collect_error")}
    assert {
        test: (one["type"], one["path"], one["line"])
        for test, one in errors.items()
        if "syntax" not in test
    } == {
        "tests/missing.test.ts": ("Error", "tests/missing.test.ts", 3),
        "tests/throws.test.ts": ("TypeError", "tests/throws.test.ts", 5),
        "tests/all.test.ts > hooks": (
            "TypeError",
            "tests/all.test.ts",
            line("tests/all.test.ts", "before all"),
        ),
        "unhandled error": ("RangeError", "tests/rejects.test.ts", 4),
    }
    assert "./gone" in errors["tests/missing.test.ts"]["message"]
    assert errors["unhandled error"]["message"] == "too late"
    syntax = errors["tests/syntax.test.ts"]
    assert (syntax["path"], syntax["line"] > 0) == ("tests/syntax.test.ts", True)
    assert any("Transform failed" in one for one in syntax["excerpt"])


def line(name: str, text: str) -> int:
    [found] = [number for number, one in enumerate(FILES[name].split("\n"), 1) if text in one]
    return found


def test_how_a_run_ends(project: Project) -> None:
    green = project.run("tests/good")
    assert green.code == 0
    assert green.outcomes() == {
        "tests/good.test.ts > first": ["passed"],
        "tests/good.test.ts > second": ["passed"],
    }
    assert green.events[-1] == {"event": "end", "exit": 0}
    assert all(one["seconds"] >= 0 for one in green.of("result"))

    # Vitest itself reports success here.
    nothing = project.run("tests/good", "-t", "no such test")
    assert nothing.code == 0
    assert set(map(tuple, nothing.outcomes().values())) == {("skipped",)}

    bail = project.run("tests/stops", "--bail=1")
    assert bail.code == 1
    assert bail.outcomes() == {
        "tests/stops.test.ts > first": ["passed"],
        "tests/stops.test.ts > second": ["failed"],
    }
    assert bail.events[-1] == {"event": "end", "exit": 1}

    # Without tests, the event has pytest's exit code for this case.
    for options, code, told in (((), 1, 5), (("--passWithNoTests",), 0, 0)):
        none = project.run("no-such-file", *options)
        assert (none.code, none.events[-1]) == (code, {"event": "end", "exit": told})
        assert not none.of("result")

    unhandled = project.run("tests/rejects")
    assert unhandled.code == 1
    assert unhandled.outcomes() == {"tests/rejects.test.ts > leaks": ["passed"]}
    assert unhandled.events[-1] == {"event": "end", "exit": 1}


def test_the_reporter_breaks_nothing(project: Project) -> None:
    def quiet(output: str) -> str:
        # After the duration, Vitest 5 prints the steps by their share of it.
        output = re.sub(r"(Duration .*) \(.*\)", r"\1", output)
        return re.sub(r"\d+(\.\d+)?m?s\b|\d\d:\d\d:\d\d", "TIME", output)

    plain = project.run("tests/good", TEST_EVENTS_REPORTER="")
    assert plain.events == []
    for path in ("/dev/full", str(project.root), "no/such/folder/events.jsonl", ""):
        run = project.run("tests/good", TEST_EVENTS=path)
        assert (run.code, quiet(run.output)) == (0, quiet(plain.output))
