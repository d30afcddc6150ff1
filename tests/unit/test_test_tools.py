"""The patterns on real logs of pytest and Vitest, and on logs that only look like those."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

CAPTURES = Path(__file__).parents[1] / "captures" / "captures.tar.xz"

with tarfile.open(CAPTURES) as archive:
    LOGS = {
        member.name.removesuffix(".log"): file.read()
        for member in archive
        if (file := archive.extractfile(member))
    }
#: The captures that are cut into many chunks.
SHORT = sorted(name for name, log in LOGS.items() if len(log) < 8000)

EDGE = {"passed": 6, "failed": 3, "errors": 2, "skipped": 1, "xfailed": 1, "xpassed": 1}
EDGE_RERUN = EDGE | {"passed": 8, "failed": 2, "rerun": 5}
#: Two files that cannot be loaded and one unhandled error. A `todo` counts as skipped.
VITEST_EDGE = {"passed": 12, "failed": 2, "errors": 3, "skipped": 3, "xfailed": 1}

GREEN, RED = {"passed": 955}, {"passed": 952, "failed": 3}

#: Read by hand from the last lines of each capture. None: the tool did not write a summary.
TABLE: list[tuple[str, dict[str, int] | None]] = [
    ("colerr-default colerr-q colerr-v", {"errors": 2}),
    ("colerr-n2-q colerr-n2-v", {"passed": 1, "errors": 2}),
    ("crash-default crash-q crash-v", None),
    ("crash-n2-q crash-n2-v", {"passed": 3, "failed": 1}),
    ("empty-default empty-q empty-v empty-n2-q empty-n2-v", {}),
    ("green-default green-q green-v green-n2-q green-n2-v", GREEN),
    ("green-q-tbline green-q-tbno green-q-tbshort", GREEN),
    ("red3-default red3-q red3-v red3-n2-q red3-n2-v", RED),
    ("red3-q-tbline red3-q-tbno red3-q-tbshort", RED),
    ("green-qq red3-qq", None),
    ("edge-count edge-s edge-s-v edge-make edge-tbno-rA", EDGE),
    ("edge-default edge-q edge-v edge-n2-q edge-n2-v", EDGE_RERUN),
    ("edge-k", {"passed": 3, "failed": 1, "deselected": 9}),
    ("edge-k-nothing", {"deselected": 13}),
    ("edge-x", {"passed": 3, "failed": 1}),
    ("vt3-green-basic vt3-green-default vt3-green-dot vt3-green-verbose", GREEN),
    ("vt3-red-basic vt3-red-default vt3-red-dot vt3-red-verbose", RED),
    ("vt3-green-github-actions vt3-green-hanging-process", None),
    ("vt3-red-github-actions vt3-red-hanging-process", None),
    ("vt3-green-json vt3-green-junit vt3-red-tap", None),
    ("vt3-badflag vt3-crash", None),
    ("vt3-empty vt3-empty-pass vt4-empty", {}),
    ("vt3-nomatch vt4-nomatch", {"skipped": 955}),
    # The suite has 40 tests. The summary omits the others.
    ("vt3-bail", {"passed": 7, "failed": 1}),
    ("vt4-edge-agent vt4-edge-default vt4-edge-dot vt4-edge-minimal", VITEST_EDGE),
    ("vt4-green-agent vt4-green-autoAGENT vt4-green-minimal", GREEN),
    ("vt4-green-default vt4-green-dot", GREEN),
    ("vt4-red-agent vt4-red-autoAGENT vt4-red-minimal", RED),
    ("vt4-red-auto vt4-red-default vt4-red-dot", RED),
    ("unittest-green unittest-green-v", {"passed": 2, "skipped": 1}),
    # A failed subtest and an unexpected success count as failures.
    ("unittest-red unittest-red-v", {"passed": 1, "failed": 3, "errors": 1, "xfailed": 1}),
    ("unittest-skipped unittest-skipped-v", {"skipped": 2}),
    ("unittest-empty unittest-empty-v", {}),
    ("unittest-crash unittest-crash-v", None),
    ("unittest-broken unittest-broken-v unittest-setup unittest-setup-v", {"errors": 1}),
    ("node20-green-spec node20-green-tap", {"passed": 2, "skipped": 2}),
    ("node20-red-spec node20-red-tap", {"passed": 1, "failed": 2, "skipped": 1}),
    ("node20-skipped-spec node20-skipped-tap", {"skipped": 2}),
    ("node20-crash-spec node20-crash-tap node20-broken-spec node20-broken-tap", {"failed": 1}),
    ("node20-empty-spec node20-dot-red", None),
    ("node24-green-spec node24-green-tap", {"passed": 2, "skipped": 2}),
    ("node24-red-spec node24-red-tap", {"passed": 1, "failed": 2, "skipped": 1}),
    ("node24-skipped-spec node24-skipped-tap", {"skipped": 2}),
    ("node24-empty-spec node24-empty-tap", {}),
    ("node24-imitation-tap", {"passed": 1, "failed": 1}),
    ("mocha12-green-spec mocha12-green-dot", {"passed": 2, "skipped": 1}),
    ("mocha12-red-spec mocha12-red-dot", {"passed": 1, "failed": 2, "skipped": 1}),
    ("mocha12-skipped-spec mocha12-skipped-dot", {"skipped": 2}),
    ("mocha12-hook-spec mocha12-hook-dot", {"failed": 1}),
    ("mocha12-empty-spec mocha12-empty-dot", {}),
    ("jest30-green jest30-green-verbose", {"passed": 2, "skipped": 1}),
    ("jest30-red jest30-red-verbose", {"passed": 1, "failed": 2, "skipped": 1}),
    ("jest30-skipped jest30-skipped-verbose", {"skipped": 2}),
    ("jest30-broken jest30-broken-verbose", {"errors": 1}),
    ("jest30-empty", {}),
    # Without -v or -json, Go does not print the number of tests. Subtests count, and their parents.
    ("go119-green go119-red go119-skipped go119-imitation", None),
    ("go127-green go127-red go127-skipped go127-imitation", None),
    ("go119-green-v go119-green-json", {"passed": 4, "skipped": 1}),
    ("go127-green-v go127-green-json", {"passed": 4, "skipped": 1}),
    ("go119-red-v go119-red-json go127-red-v go127-red-json", {"passed": 2, "failed": 3}),
    ("go119-skipped-v go119-skipped-json go127-skipped-v go127-skipped-json", {"skipped": 2}),
    ("go119-empty go119-empty-v go119-empty-json", {}),
    ("go127-empty go127-empty-v go127-empty-json", {}),
    ("go119-broken go119-broken-v go119-broken-json", {"errors": 1}),
    ("go127-broken go127-broken-v go127-broken-json", {"errors": 1}),
    ("go119-imitation-v go127-imitation-v go127-imitation-json", {"passed": 1, "failed": 1}),
    # Go 1.19 itself takes the printed results for real ones.
    ("go119-imitation-json", {"passed": 2, "failed": 2}),
    ("cargo195-green", {"passed": 2, "skipped": 1}),
    ("cargo195-red", {"passed": 2, "failed": 2}),
    ("cargo195-skipped", {"skipped": 2}),
    ("cargo195-empty", {}),
    ("cargo195-broken", None),
    ("cargo195-imitation cargo195-imitation-nocapture", {"passed": 1, "failed": 1}),
    ("rspec312-green rspec312-green-doc", {"passed": 2, "skipped": 1}),
    ("rspec312-red rspec312-red-doc", {"passed": 1, "failed": 2, "skipped": 1}),
    ("rspec312-skipped rspec312-skipped-doc", {"skipped": 2}),
    ("rspec312-broken rspec312-broken-doc", {"errors": 1}),
    ("rspec312-empty minitest-empty", {}),
    ("minitest-green testunit-green", {"passed": 2, "skipped": 1}),
    ("minitest-red testunit-red", {"passed": 1, "failed": 1, "errors": 1, "skipped": 1}),
    ("minitest-skipped testunit-skipped", {"skipped": 1}),
    ("testunit-empty", None),
    ("phpunit96-ok phpunit96-ok-testdox", {"passed": 2}),
    ("phpunit96-green phpunit96-green-testdox", {"passed": 2, "skipped": 1}),
    (
        "phpunit96-red phpunit96-red-testdox",
        {"passed": 1, "failed": 1, "errors": 1, "skipped": 1},
    ),
    ("phpunit96-skipped phpunit96-skipped-testdox", {"skipped": 2}),
    ("phpunit96-empty", {}),
    ("phpunit96-imitation phpunit96-imitation-testdox", {"passed": 1, "failed": 1}),
    # A test printed a whole summary, and it looks like that of the tool.
    ("node24-imitation-spec mocha12-imitation-spec mocha12-imitation-dot", None),
    ("jest30-imitation jest30-imitation-verbose", None),
    ("rspec312-imitation rspec312-imitation-doc", None),
    ("minitest-imitation testunit-imitation", None),
]
COUNTS = {name: counts for names, counts in TABLE for name in names.split()}


RUNNER = Path(__file__).parents[2] / "template" / "scripts" / "test_runner"


def load_tools() -> SimpleNamespace:
    """Load the package of the test tools, without a project: under a name of its own."""
    name = "loaded_test_runner"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, RUNNER / "__init__.py", submodule_search_locations=[str(RUNNER)]
        )
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    output = importlib.import_module(f"{name}.tools.output")
    return SimpleNamespace(
        output=output,
        Output=output.Output,
        Progress=output.Progress,
        Counts=importlib.import_module(f"{name}.tools.base").Counts,
        literal=importlib.import_module(f"{name}.logs").literal,
        exit_code_behind_make=importlib.import_module(f"{name}.tools.make").exit_code_behind_make,
    )


@pytest.fixture(scope="module")
def patterns() -> SimpleNamespace:
    return load_tools()


@pytest.mark.parametrize(
    "text", ["\x1b[31mab", "\x1b]0;title\x07ab", "a\x00b\x08", "\x1bab", "a\x9bb", "\x90ab\x9c"]
)
def test_no_control_character_reaches_the_terminal(patterns: SimpleNamespace, text: str) -> None:
    """The terminal may read U+0080 to U+009F as the start of an escape sequence, too."""
    assert patterns.literal(text) == "ab"


def chunks(log: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        if start >= len(log):
            return
        yield log[start : start + size]
        start += size


def read(patterns: SimpleNamespace, log: bytes, sizes: Iterable[int] = (1 << 30,)) -> Any:
    """Feed a log in chunks of the given sizes, repeated. The progress must never decrease."""
    reader = patterns.Output()
    before = reader.progress
    for chunk in chunks(log, itertools.cycle(sizes)):
        reader.feed(chunk)
        now = reader.progress
        assert now.percent >= before.percent and now.done >= before.done
        assert 0 <= now.percent <= 100 and (not now.total or now.done <= now.total)
        assert now.total >= before.total
        before = now
    reader.end()
    return reader


def test_each_capture_is_counted_by_hand() -> None:
    assert {name.rpartition(".")[0] for name in LOGS} == set(COUNTS)


@pytest.mark.parametrize("name", LOGS)
def test_the_counts_of_a_capture(patterns: SimpleNamespace, name: str) -> None:
    expected = COUNTS[name.rpartition(".")[0]]
    reader = read(patterns, LOGS[name], [1000])
    assert reader.counts == (None if expected is None else patterns.Counts(**expected))


def test_properties_of_counts(patterns: SimpleNamespace) -> None:
    counts = patterns.Counts(passed=1, failed=2, errors=3, skipped=4, xfailed=5, deselected=6)
    assert (counts.failures, counts.tests, counts.nothing_ran) == (5, 15, False)
    nothing = [
        name
        for name, log in LOGS.items()
        if (counts := read(patterns, log).counts) and counts.nothing_ran
    ]
    # In the names of the captures, `empty` is no test, and `skipped` is nothing but skipped tests.
    unknown = {"node20-empty-spec", "testunit-empty", "go119-skipped", "go127-skipped"}
    assert {name.rpartition(".")[0] for name in nothing} == {
        name for name in COUNTS if {"empty", "skipped"} & set(name.split("-"))
    } - unknown | {"edge-k-nothing", "vt3-nomatch", "vt4-nomatch"}


#: The first failure of a capture: the test, its location, and its message.
FAILURES = {
    "unittest-red.pipe": (
        "test_c (test_red.Red.test_c)",
        "test_red.py:8",
        "RuntimeError: no database",
    ),
    "unittest-broken.pipe": (
        "test_broken (unittest.loader._FailedTest.test_broken)",
        "test_broken.py:1",
        "ModuleNotFoundError: No module named 'nonsense'",
    ),
    "node20-red-spec.pipe": (
        "b fails",
        "red.test.mjs:5",
        "AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:",
    ),
    "node20-red-tap.pipe": ("b fails", "red.test.mjs:5", "Expected values to be strictly equal:"),
    "node24-red-spec.pipe": (
        "b fails",
        "red.test.mjs:5",
        "AssertionError [ERR_ASSERTION]: 1 == 2",
    ),
    "node24-red-tap.pipe": ("b fails", "red.test.mjs:5", "1 == 2"),
    "mocha12-red-spec.pipe": ("shop b fails", "red.js:4", "AssertionError [ERR_ASSERTION]: 1 == 2"),
    "mocha12-red-dot.pipe": ("shop b fails", "red.js:4", "AssertionError [ERR_ASSERTION]: 1 == 2"),
    "mocha12-hook-spec.pipe": (
        'shop "before all" hook for "a"',
        "hook.js:1",
        "Error: no database",
    ),
    "jest30-red.pipe": (
        "shop › b fails",
        "red.test.js:3",
        "expect(received).toBe(expected) // Object.is equality",
    ),
    "jest30-broken.pipe": (
        "t/broken.test.js",
        "broken.test.js:1",
        "Cannot find module './missing' from 't/broken.test.js'",
    ),
    "jest30-imitation.pipe": (
        "fails",
        "imitation.test.js:3",
        "expect(received).toBe(expected) // Object.is equality",
    ),
    **{
        f"{go}-{name}.pipe": ("TestB/one", "a_test.go:8", "a_test.go:8: got 1, want 2")
        for go in ("go119", "go127")
        for name in ("red", "red-v", "red-json")
    },
    **{
        f"{go}-{name}.pipe": (
            "example.com/broken",
            "a_test.go:3",
            "./a_test.go:3:28: undefined: undefined",
        )
        for go in ("go119", "go127")
        for name in ("broken", "broken-v", "broken-json")
    },
    "go127-imitation-v.pipe": ("TestB", "a_test.go:4", "a_test.go:4: no database"),
    "cargo195-red.pipe": (
        "c",
        "lib.rs:13",
        'called `Result::unwrap()` on an `Err` value: "no database"',
    ),
    "cargo195-broken.pipe": (
        "compilation",
        "lib.rs:2",
        "error[E0425]: cannot find function `missing` in this scope",
    ),
    "rspec312-red.pipe": (
        "shop b fails",
        "red_spec.rb:3",
        "Failure/Error: it('b fails') { expect(1).to eq(2) }",
    ),
    "rspec312-broken.pipe": (
        "./broken_spec.rb",
        "broken_spec.rb:1",
        "Failure/Error: require 'missing'",
    ),
    "minitest-red.pipe": ("Shop#test_c", "minitest-red.rb:10", "RuntimeError: no database"),
    "testunit-red.pipe": ("test_b(Shop)", "testunit-red.rb:6", "Failure: test_b(Shop)"),
    "phpunit96-red.pipe": (
        "RedTest::testC",
        "RedTest.php:8",
        "RuntimeException: no database",
    ),
    "phpunit96-red-testdox.pipe": (
        "B",
        "RedTest.php:7",
        "Failed asserting that 2 is identical to 1.",
    ),
}


@pytest.mark.parametrize(("name", "expected"), FAILURES.items(), ids=FAILURES)
def test_the_first_failure_of_a_capture(
    patterns: SimpleNamespace, name: str, expected: tuple[str, str, str]
) -> None:
    first = read(patterns, LOGS[name], [1000]).failures[0]
    assert (first.test, first.where.rpartition("/")[2], first.message) == expected


# The progress before the end is known: done, total, percent.
PROGRESS = {
    "green-v.pipe": (955, 955, 100),
    "green-default.tty": (955, 955, 100),
    "green-n2-v.tty": (955, 955, 100),
    "green-q.pipe": (0, 0, 100),
    "crash-v.pipe": (1, 4, 25),
    "edge-count.pipe": (13, 13, 100),
    "edge-k.pipe": (4, 4, 100),
    # Stopped in its first row. The output after it is not progress.
    "edge-x.pipe": (0, 13, 0),
    "vt3-green-default.pipe": (955, 0, 0),
    "vt4-red-default.tty": (955, 0, 0),
    # The nine tests of a missing file do not count.
    "vt4-edge-default.pipe": (18, 0, 0),
}


@pytest.mark.parametrize(("name", "expected"), PROGRESS.items(), ids=PROGRESS)
def test_the_progress_of_a_capture(
    patterns: SimpleNamespace, name: str, expected: tuple[int, int, int]
) -> None:
    reader = patterns.Output()
    reader.feed(LOGS[name])
    progress = reader.progress
    assert (progress.done, progress.total, progress.percent) == expected
    reader.end()
    if reader.counts:
        assert reader.progress.total == reader.progress.done or name == "edge-x.pipe"


@given(name=st.sampled_from(SHORT), sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=20))
@settings(max_examples=50)
def test_the_size_of_the_chunks_does_not_matter(
    patterns: SimpleNamespace, name: str, sizes: list[int]
) -> None:
    whole, cut = read(patterns, LOGS[name]), read(patterns, LOGS[name], sizes)
    assert cut.counts == whole.counts
    assert cut.progress == whole.progress


@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([b"\r", b"\n", b"\r\n", b"\x1b[32m", b"\x1b]0;title\x07", b"\x1b", b" "]),
            st.sampled_from([b"1 passed in 0.01s", b"collected 3 items", b"a.py::b PASSED [ 50%]"]),
            st.sampled_from([b"[2/3]", b".. [ 99%]", b"make: *** [x] Error 1", b"x" * 90]),
            st.sampled_from([b" RUN  v4.1.12 /x", b" Test Files  1 passed (1)", b"\xe2\x9c"]),
            st.sampled_from([b"      Tests  1 passed (1)", b"   Duration  1s (x)", b"stdout | a.ts"]),
            st.binary(max_size=20),
        ),
        max_size=20,
    ),
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=10),
)  # fmt: skip
@settings(max_examples=75)
def test_the_content_of_the_chunks_does_not_matter(
    patterns: SimpleNamespace, pieces: list[bytes], sizes: list[int]
) -> None:
    log = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns.output, "LONGEST_LINE", 80)
        whole, cut = read(patterns, log), read(patterns, log, sizes)
    assert cut.counts == whole.counts
    assert cut.progress.percent == whole.progress.percent
    assert cut.progress.done == whole.progress.done


RUN = "collected 4 items\ntests/test_a.py::test_a PASSED   [ 25%]\n"
VITEST = " RUN  v4.1.12 /x\n\n"
FILES = " Test Files  1 passed (1)\n"
PASSED = "      Tests  4 passed (4)\n"
FAILED = "      Tests  1 failed | 3 passed (4)\n"
TIMES = "   Start at  10:00:00\n   Duration  1.01s (transform 1ms, setup 0ms)\n"
MAKES = """\
make[1]: *** [Makefile:2: test] Error 1
make[1]: Leaving directory '/x'
make: *** [Makefile:9: all] Error 2

"""

#: Logs with and without a valid summary at the end, next to similar lines.
LOOK_ALIKES: dict[str, tuple[str, dict[str, int] | None]] = {
    "printed, then killed": (f"{RUN}5 passed in 1.00s\nKilled\n", None),
    "with words before it": (f"{RUN}all good: 5 passed in 1.00s\n", None),
    "with words behind it": (f"{RUN}5 passed in 1.00s, hurray\n", None),
    "without a time": (f"{RUN}5 passed, 2 failed\n", None),
    "a parameter": ("tests/test_a.py::test_a[5 passed in 1.00s] PASSED  [100%]\n", None),
    "a real summary after it": (f"{RUN}5 passed in 1.00s\n1 failed in 0.10s\n", {"failed": 1}),
    "lines of make after it": (f"{RUN}=== 1 failed in 0.10s ===\n{MAKES}", {"failed": 1}),
    "more than a minute": ("= 2 passed, 1 error in 75.20s (0:01:15) =", {"passed": 2, "errors": 1}),
    "no end of the line": ("2 passed in 0.10s", {"passed": 2}),
    "subtests": ("1 failed, 7 subtests passed in 0.10s\n", {"failed": 1}),
    "Vitest's": (f"{VITEST}{FILES}{FAILED}{TIMES}", {"failed": 1, "passed": 3}),
    "a line of Vitest": (f"{VITEST}{PASSED}{TIMES}", None),
    "Vitest's without Vitest": (f"{FILES}{PASSED}{TIMES}", None),
    "Vitest's while it runs": (f"{VITEST}{FILES}{PASSED}   Duration  101ms\n", None),
    "Vitest's with words in it": (f"{VITEST}{FILES}{PASSED}and so on\n{TIMES}", None),
    "Vitest's, printed by a test": (
        f"{VITEST}stdout | tests/a.test.ts > prints\n{FILES}{PASSED}{TIMES}\n",
        None,
    ),
    "Vitest's real one after it": (
        f"{VITEST}stderr | tests/a.test.ts\n{FILES}{PASSED}{TIMES}\n{FILES}{FAILED}{TIMES}",
        {"failed": 1, "passed": 3},
    ),
    "files that cannot be loaded": (
        f"{VITEST}⎯⎯⎯ Failed Suites 2 ⎯⎯⎯\n\n{FILES}      Tests  no tests\n{TIMES}",
        {"errors": 2},
    ),
    "npm after Vitest": (
        f"{VITEST}{FILES}{FAILED}{TIMES}\nnpm error code 1\n{MAKES}",
        {"failed": 1, "passed": 3},
    ),
}


@pytest.mark.parametrize(("log", "expected"), LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_lines_that_look_like_a_summary(
    patterns: SimpleNamespace, log: str, expected: dict[str, int] | None
) -> None:
    for line_end, size in itertools.product(("\n", "\r\n", "\r\r\n"), (1, 7)):
        counts = read(patterns, log.replace("\n", line_end).encode(), [size]).counts
        assert counts == (None if expected is None else patterns.Counts(**expected))


@pytest.mark.parametrize(
    "line",
    [
        "uploading [ 99%]",
        "uploading [99/100]",
        "tests/test_a.py::test_names[[ 99%] done] PASSED   [ 50%]",
        "[gw0] [ 50%] PASSED tests/test_a.py::test_names[ [ 99%]",
        "collected 5000 items",
        " ✓ src/fake.test.ts (99 tests) 3ms",
        "50 passed in 1.00s",
    ],
)
def test_lines_that_look_like_progress(patterns: SimpleNamespace, line: str) -> None:
    reader = patterns.Output()
    reader.feed(f"collected 4 items\ntests/test_a.py::test_b PASSED [ 50%]\n{line}\n".encode())
    progress = reader.progress
    assert (progress.done, progress.total, progress.percent) == (2, 4, 50)


def test_progress_does_not_go_back(patterns: SimpleNamespace) -> None:
    rows = ["collected 100 items", ".. [ 50%]", "tests/test_a.py::test_b RERUN [ 40%]", ". [3/100]"]
    reader = read(patterns, "\n".join(rows).encode(), [10])
    assert reader.progress == patterns.Progress(50, 100, 50, "tests/test_a.py::test_b")


def test_which_test_is_running(patterns: SimpleNamespace) -> None:
    reader = patterns.Output()
    for chunk, current in [
        (b"collected 2 items\n", ""),
        (b"tests/test_a.py::test_a[x y] ", "tests/test_a.py::test_a[x y]"),
        (b"PASSED  [ 50%]\ntests/te", "tests/test_a.py::test_a[x y]"),
        (b"st_a.py::test_b ", "tests/test_a.py::test_b"),
        (b"Fatal Python error: Segmentation fault\n", "tests/test_a.py::test_b"),
        (b"==== FAILURES ====\ntests/test_a.py::test_printed ", "tests/test_a.py::test_b"),
    ]:
        reader.feed(chunk)
        assert reader.progress.current == current


def test_a_log_costs_no_memory(patterns: SimpleNamespace) -> None:
    reader = patterns.Output()
    reader.feed(b"5 passed in 1.00s\n")
    piece = bytes(range(256)).replace(b"\n", b"").replace(b"\r", b"") * 4000
    tracemalloc.start()
    try:
        for _ in range(12):
            reader.feed(piece)
        reader.feed(b"\n")
        reader.feed(b"\n" + b"\xff" * 5000 + b"\r1 passed in 0.01s")
        reader.end()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert reader.counts == patterns.Counts(passed=1)


#: Output of tools that could not be run here, or of cases that no capture has. It was written by
#: hand in the format that the documentation and public issues of the tools show.
SAMPLES: dict[str, tuple[str, dict[str, int] | None, str]] = {
    "go -v, two packages": (
        (
            "=== RUN   TestB\n    a_test.go:7: no database\n--- FAIL: TestB (0.00s)\nFAIL\n"
            "FAIL\texample.com/a\t0.002s\n"
            "=== RUN   TestC\n--- SKIP: TestC (0.00s)\nPASS\nok  \texample.com/b\t0.001s\n"
        ),
        {"failed": 1, "skipped": 1},
        "a_test.go:7",
    ),
    "cargo": (
        (
            "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\n"
            "thread 'b' (7) panicked at src/lib.rs:10:9:\nno database\n\n\nfailures:\n    b\n\n"
            "test result: ok. 99 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n"
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
            "running 1 test\ntest c ... ignored\n\n"
            "test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
        ),
        {"passed": 1, "failed": 1, "skipped": 1},
        "src/lib.rs:10",
    ),
    "cargo, killed": ("running 2 tests\ntest a ... ok\n", None, ""),
    "cargo-nextest": (
        (
            "    Starting 3 tests across 1 binary (run ID: 1f79, nextest profile: default)\n"
            "        PASS [   0.005s] shop tests::a\n"
            "        FAIL [   0.004s] shop tests::b\n"
            "  stdout ───\n\n    running 1 test\n    test tests::b ... FAILED\n\n"
            "  stderr ───\n\n    thread 'tests::b' panicked at src/lib.rs:10:9:\n    no database\n\n"
            "        PASS [   0.005s] shop tests::c\n"
            "────────────\n"
            "     Summary [   0.021s] 3 tests run: 2 passed, 1 failed, 2 skipped\n"
        ),
        {"passed": 2, "failed": 1, "skipped": 2},
        "src/lib.rs:10",
    ),
    "Maven": (
        (
            "[INFO] Running shop.CartTest\n"
            "[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s"
            " <<< FAILURE! -- in shop.CartTest\n"
            "[ERROR] shop.CartTest.fails -- Time elapsed: 0.003 s <<< FAILURE!\n"
            "org.opentest4j.AssertionFailedError: expected: <1> but was: <2>\n"
            "\tat shop.CartTest.fails(CartTest.java:12)\n\n"
            "[INFO] \n[INFO] Results:\n[INFO] \n"
            "[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0\n[INFO] \n"
        ),
        {"passed": 1, "failed": 1},
        "CartTest.java:12",
    ),
    "Maven, all skipped": (
        (
            "[INFO] Running shop.CartTest\n"
            "[WARNING] Tests run: 3, Failures: 0, Errors: 0, Skipped: 3, Time elapsed: 0.01 s"
            " -- in shop.CartTest\n[INFO] \n[INFO] Results:\n[INFO] \n"
            "[WARNING] Tests run: 3, Failures: 0, Errors: 0, Skipped: 3\n[INFO] \n"
        ),
        {"skipped": 3},
        "",
    ),
    "VSTest, all skipped": (
        (
            "Test run for /a.dll (.NETCoreApp,Version=v8.0)\n"
            "Skipped! - Failed:     0, Passed:     0, Skipped:     2, Total:     2, Duration: 1 ms - A.dll (net8.0)\n"
        ),
        {"skipped": 2},
        "",
    ),
    "VSTest": (
        (
            "Test run for /a.dll (.NETCoreApp,Version=v8.0)\n  Failed A.B [6 ms]\n  Error Message:\n"
            "   Assert.Equal() Failure\n  Stack Trace:\n     at A.B() in /app/A.cs:line 13\n\n"
            "Failed!  - Failed:     1, Passed:     1, Skipped:     0, Total:     2, Duration: 8 ms - A.dll (net8.0)\n"
            "Passed!  - Failed:     0, Passed:     1, Skipped:     0, Total:     1, Duration: < 1 ms - B.dll (net8.0)\n"
        ),
        {"passed": 2, "failed": 1},
        "/app/A.cs:13",
    ),
    "Testing Platform": (
        (
            "Test run summary: Passed! - /a.dll (net8.0|x64)\n  total: 12\n  failed: 0\n  succeeded: 12\n"
            "  skipped: 0\n  duration: 8s 095ms\n"
        ),
        {"passed": 12},
        "",
    ),
    "Gradle": (
        (
            "> Task :test FAILED\n\nATest > fails() FAILED\n    kotlin.NotImplementedError at ATest.kt:10\n\n"
            "9 tests completed, 1 failed, 8 skipped\n"
        ),
        {"failed": 1, "skipped": 8},
        "ATest.kt:10",
    ),
    "Gradle, passed": ("> Task :test\n\nBUILD SUCCESSFUL in 1s\n", None, ""),
}


@pytest.mark.parametrize(("log", "expected", "where"), SAMPLES.values(), ids=SAMPLES)
def test_the_output_of_other_tools(
    patterns: SimpleNamespace, log: str, expected: dict[str, int] | None, where: str
) -> None:
    reader = read(patterns, log.encode(), [7])
    assert reader.counts == (None if expected is None else patterns.Counts(**expected))
    assert not where or reader.failures[0].where == where


RECIPES = {
    "exit 5": 5,
    "exit 77": 77,
    "kill -SEGV $$$$": 139,
    "kill -KILL $$$$": 137,
    "kill -TERM $$$$": 143,
    "true": None,
    "echo 'make: *** [Makefile:3: fake] Error 9'": None,
    "echo 'make: *** [Makefile:3: fake] Error 9'; echo; exit 3": 3,
}


@pytest.mark.parametrize(("recipe", "code"), RECIPES.items(), ids=RECIPES)
@pytest.mark.parametrize("depth", [1, 3])
def test_the_exit_code_behind_make(
    patterns: SimpleNamespace, tmp_path: Path, recipe: str, code: int | None, depth: int
) -> None:
    rules = [f"test{level}:\n\t@$(MAKE) test{level + 1}\n" for level in range(1, depth)]
    rules.append(f"test{depth}:\n\t@{recipe}; status=$$?; echo said; exit $$status\n")
    (tmp_path / "Makefile").write_text("".join(rules))
    done = subprocess.run(
        ["make", "test1"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert (done.returncode == 0) == (code is None)
    assert patterns.exit_code_behind_make(done.stdout) == code


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("make: *** [Makefile:2: test] Fehler 5\n", 5),
        ("gmake[2]: *** [Makefile:2: a b] Segmentation fault (core dumped)\n", 139),
        ("make: [Makefile:2: test] Error 1 (ignored)\n", None),
        ("make: *** No rule to make target 'test'.  Stop.\n", None),
        ("make: *** [Makefile:2: test] Error 5\nand more\n", None),
        ("make: *** Waiting for unfinished jobs....\nmake: *** [Makefile:2: test] Error 5\n", 5),
        ("", None),
        (LOGS["edge-make.pipe"].decode(), 1),
        (LOGS["edge-v.tty"].decode(), None),
    ],
)
def test_error_lines_of_make(patterns: SimpleNamespace, log: str, code: int | None) -> None:
    assert patterns.exit_code_behind_make(log.encode()) == code
    assert patterns.exit_code_behind_make(b"x" * 100_000 + b"\n" + log.encode()) == code
