# Kept by the template: copier update merges its changes into this file.
"""Writes the results as JUnit XML, which most CI systems read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from .events import FAILED
from .targets import BAD, Target


def write_junit(folder: Path, targets: Iterable[Target]) -> None:
    """Write junit.xml with a suite for each target and a case for each test."""
    suites = ElementTree.Element("testsuites")
    for target in targets:
        cases = [case(target, test, outcome) for test, outcome in target.events.outcomes.items()]
        if target.state in BAD and not target.failed:
            # No test failed, so a case for the target itself reports the error.
            whole = ElementTree.Element("testcase", classname=target.title, name=target.name)
            ElementTree.SubElement(whole, "error", message=printable(target.note))
            cases.append(whole)
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=target.title,
            tests=str(len(cases)),
            failures=str(sum(item.find("failure") is not None for item in cases)),
            errors=str(sum(item.find("error") is not None for item in cases)),
            skipped=str(sum(item.find("skipped") is not None for item in cases)),
            time=f"{target.seconds:.3f}",
        )
        suite.extend(cases)
    ElementTree.ElementTree(suites).write(
        folder / "junit.xml", encoding="utf-8", xml_declaration=True
    )


def case(target: Target, test: str, outcome: str) -> ElementTree.Element:
    """Return the JUnit element of a test."""
    file, _, name = test.partition("::" if "::" in test else " > ")
    seconds = target.events.seconds.get(test, 0.0)
    element = ElementTree.Element(
        "testcase", classname=printable(file), name=printable(name or test), time=f"{seconds:.3f}"
    )
    if outcome in ("skipped", "xfailed"):
        ElementTree.SubElement(element, "skipped")
    elif outcome in FAILED:
        kind = "failure" if outcome == "failed" else "error"
        for cause in target.events.causes.values():
            if test in cause.tests:
                problem = ElementTree.SubElement(
                    element, kind, message=printable(cause.first.message)
                )
                problem.text = printable("\n".join([*cause.first.excerpt, cause.first.where]))
                break
        else:
            ElementTree.SubElement(element, kind)
    return element


def printable(text: str) -> str:
    """Replace the characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)
