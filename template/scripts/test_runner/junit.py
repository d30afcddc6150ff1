# Kept by the template: copier update merges its changes into this file.
"""Writes the results as JUnit XML, which most CI systems read, and reads that of test tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from .events import FAILED, Events
from .targets import BAD, Target

#: How many lines of a failure's text are kept, and characters of a line.
LINES, WIDTH = 40, 400
#: JUnit XML of a test tool with more bytes is not read, so that it does not fill the memory.
MAX_SIZE = 50_000_000
#: A location in the text of a failure: Python, JavaScript, Go, Rust, Ruby, PHP, C# or Java.
PLACE = re.compile(
    r'(?:File "|\(|\s|^|file://)(?P<path>[^\s"():]+\.\w{1,5})(?:", line |:line |:)(?P<line>\d+)',
    re.MULTILINE,
)


def write_junit(folder: Path, targets: Iterable[Target]) -> None:
    """Write junit.xml with a suite for each target and a case for each test."""
    suites = ElementTree.Element("testsuites")
    for target in targets:
        cases = [case(target, test, outcome) for test, outcome in target.events.outcomes.items()]
        counts = None if target.has_events else target.output.counts
        if not target.has_events:  # Only the failures are known by name.
            failed = {test: "failed" for cause in target.causes for test in cause.tests}
            cases = [case(target, test, outcome) for test, outcome in failed.items()]
        if not target.has_events or target.events.tool == "junit":
            cases += [
                case(target, one.test, "passed")
                for one in target.flaky_tests
                if one.test not in target.events.outcomes and one.test
            ]
        if target.state in BAD and not cases:
            # No test failed, so a case for the target itself reports the error.
            whole = ElementTree.Element("testcase", classname=target.title, name=target.name)
            ElementTree.SubElement(whole, "error", message=printable(target.note))
            cases.append(whole)
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=target.title,
            tests=str(target.total if target.cached else counts.tests if counts else len(cases)),
            failures=str(counts.failed if counts else number_of("failure", cases)),
            errors=str(counts.errors if counts else number_of("error", cases)),
            skipped=str(
                target.total - target.executed
                if target.cached
                else counts.skipped
                if counts
                else number_of("skipped", cases)
            ),
            time=f"{target.seconds:.3f}",
        )
        if target.cached:
            properties = ElementTree.SubElement(suite, "properties")
            ElementTree.SubElement(
                properties, "property", name="cached", value=printable(str(target.cached))
            )
        suite.extend(cases)
    ElementTree.ElementTree(suites).write(
        folder / "junit.xml", encoding="utf-8", xml_declaration=True
    )


def number_of(kind: str, cases: list[ElementTree.Element]) -> int:
    """Return how many cases have an element of this kind."""
    return sum(item.find(kind) is not None for item in cases)


def case(target: Target, test: str, outcome: str) -> ElementTree.Element:
    """Return the JUnit element of a test."""
    file, _, name = test.partition("::" if "::" in test else " > ")
    seconds = target.events.seconds.get(test, 0.0)
    element = ElementTree.Element(
        "testcase", classname=printable(file), name=printable(name or test), time=f"{seconds:.3f}"
    )
    if outcome in ("skipped", "xfailed"):
        ElementTree.SubElement(element, "skipped")
    elif outcome == "rerun":
        ElementTree.SubElement(element, "error", message="it failed before and did not run again")
    elif outcome in FAILED:
        kind = "failure" if outcome == "failed" else "error"
        for cause in target.causes:
            if test in cause.tests:
                problem = ElementTree.SubElement(
                    element, kind, message=printable(cause.first.message)
                )
                problem.text = printable("\n".join([*cause.first.excerpt, cause.first.where]))
                break
        else:
            ElementTree.SubElement(element, kind)
    kind = "rerunFailure" if outcome in FAILED else "flakyFailure"
    for failure in target.events.earlier.get(test, ()):
        again = ElementTree.SubElement(
            element, kind, message=printable(failure.message), type=printable(failure.type)
        )
        again.text = printable("\n".join([*failure.excerpt, failure.where]))
    return element


def printable(text: str) -> str:
    """Replace the characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)


def read_junit(path: Path, events: Events, code: int) -> None:
    """Read the JUnit XML that a test tool wrote, if it wrote no events.

    Files that are missing, incomplete or too large (together more than MAX_SIZE) are not read.

    Args:
        path: a file, or a folder with files.
        events: where to add the results.
        code: the exit code of the command.
    """
    if events.begun:
        return
    files = sorted(path.rglob("*.xml")) if path.is_dir() else [path]
    results: list[ElementTree.Element] = []
    try:
        if sum(file.stat().st_size for file in files) > MAX_SIZE:
            return
        for file in files:
            results += ElementTree.parse(file).iter("testcase")
    except (OSError, ElementTree.ParseError, ValueError):
        return  # Missing or incomplete: the log is read instead.
    if not files:
        return
    for result in as_events(results):
        events.take(result)
    events.take({"event": "end", "exit": (1 if code else 0) if events.executed else 5})


def as_events(cases: list[ElementTree.Element]) -> Iterator[dict[str, object]]:
    """Yield the events that describe these test cases."""
    yield {"event": "begin", "tool": "junit"}
    yield {"event": "total", "tests": len(cases)}
    for element in cases:
        place, name = element.get("file") or element.get("classname") or "", element.get("name", "")
        problem = element.find("failure")
        problem = element.find("error") if problem is None else problem
        outcome = "passed"
        if problem is not None:
            outcome = "failed" if problem.tag == "failure" else "error"
        elif element.find("skipped") is not None:
            outcome = "skipped"
        result: dict[str, object] = {
            "event": "result",
            "test": "::".join(filter(None, (place, name))),
            "outcome": outcome,
            "seconds": number(element.get("time", "")),
        }
        if problem is not None:
            result["failure"] = failure_in(element, problem)
        yield result


def failure_in(element: ElementTree.Element, problem: ElementTree.Element) -> dict[str, object]:
    """Return the failure that an element describes, in the form of an event."""
    text = problem.text or ""
    found = PLACE.search(text)
    path, line = element.get("file", ""), element.get("line", "")
    if found:
        path, line = found["path"], found["line"]
    lines = [part[:WIDTH] for part in text.splitlines() if part.strip()][:LINES]
    return {
        "type": problem.get("type", ""),
        "message": problem.get("message") or (lines[0].strip() if lines else ""),
        "path": path,
        "line": int(line) if line.isdecimal() else 0,
        "excerpt": lines,
    }


def number(text: str) -> float:
    """Parse a duration in seconds; 0 if it is missing or wrong."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return 0.0
