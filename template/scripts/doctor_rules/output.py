# Kept by the template: copier update merges its changes into this file.
"""Findings as text, JSON and SARIF."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .model import PAGE, RULES, Finding, Severity

WIDTH = 80


def as_text(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of a report that fits into 80 columns. Lines to copy are not wrapped."""
    for finding in findings:
        place = f"{finding.path}:{finding.line} {finding.rule}:"
        kind = "" if finding.severity is Severity.ERROR else " (warning)"
        yield from wrapped(f"{place}{kind} {finding.message}.", "", "    ")
        yield from wrapped(f"Why: {finding.why}", "    ", "    ")
        if finding.lines:
            yield "    Write:" if not finding.lines.startswith("git ") else "    See:"
            yield from (f"      {line}".rstrip() for line in dedented(finding.lines))
        yield ""


def wrapped(text: str, first: str, following: str) -> list[str]:
    """Return a text as lines of at most 80 characters."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )


def dedented(text: str) -> list[str]:
    """Return the lines of a text without the indentation that all of them have."""
    return textwrap.dedent(text).splitlines()


def counts(findings: Iterable[Finding]) -> tuple[int, int]:
    """Return how many errors and warnings there are."""
    levels = [finding.severity for finding in findings]
    return levels.count(Severity.ERROR), levels.count(Severity.WARNING)


def as_json(findings: Sequence[Finding], skipped: Sequence[str]) -> dict[str, Any]:
    """Return a report for programs."""
    errors, warnings = counts(findings)
    return {
        "errors": errors,
        "warnings": warnings,
        "skipped": list(skipped),
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "path": finding.path,
                "line": finding.line,
                "message": finding.message,
                "why": finding.why,
                "lines": finding.lines,
                "fixable": finding.edit is not None,
                "help": f"{PAGE}#{finding.rule}",
            }
            for finding in findings
        ],
    }


def as_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a report in SARIF 2.1.0, which forges display beside the code."""
    names = sorted(RULES)
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "doctor",
                        "informationUri": PAGE,
                        "rules": [
                            {
                                "id": name,
                                "shortDescription": {"text": RULES[name].title},
                                "helpUri": f"{PAGE}#{name}",
                            }
                            for name in names
                        ],
                    }
                },
                "originalUriBaseIds": {"SRCROOT": {"description": {"text": "the project's root"}}},
                "columnKind": "utf16CodeUnits",
                "results": [sarif_result(finding, names) for finding in findings],
            }
        ],
    }


def sarif_result(finding: Finding, names: list[str]) -> dict[str, Any]:
    """Return a finding as a result of SARIF."""
    lines = f"\n\nWrite:\n{finding.lines}" if finding.lines else ""
    return {
        "ruleId": finding.rule,
        "ruleIndex": names.index(finding.rule),
        "level": finding.severity.value,
        "message": {"text": f"{finding.message}. {finding.why}{lines}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": finding.path, "uriBaseId": "SRCROOT"},
                    "region": {"startLine": max(finding.line, 1)},
                }
            }
        ],
    }
