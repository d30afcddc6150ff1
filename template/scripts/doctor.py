#!/usr/bin/env -S uv run --script
# Kept by the template: copier update merges its changes into this file.
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyyaml>=6"]
# ///
"""Find what a repository lacks for the pattern of this template.

Reads compose files, Dockerfiles, workflows, Makefiles, scripts and .env files.
Builds and starts nothing, and needs no Docker. Each finding has a place, a
reason, and the lines to write. zizmor, actionlint and hadolint run if uv can
get them, and `docker compose config` if Docker is installed.

To ignore a rule for one line, write this comment on it or above it:
    # doctor: ignore=RULE
To ignore a rule in the whole project, write .doctor.toml:
    ignore = ["RULE", "RULE:path/*.yml"]
    exclude = ["legacy/*"]

Exit codes: 0 no errors (warnings do not count), 1 errors, 2 usage error.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from doctor_rules import check_workflows, fixes, linters, output
from doctor_rules.model import PAGE, RULES, Finding
from doctor_rules.project import Project, SettingsError, check_rules, read_settings
from doctor_rules.registry import built_in


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parser() -> Parser:
    """Build the command line."""
    top = Parser(prog="doctor.py", description=__doc__, allow_abbrev=False)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    option = top.add_argument
    option(
        "--root",
        type=Path,
        default=Path.cwd(),
        metavar="FOLDER",
        help="the repository to check (default: this folder)",
    )
    option("--json", action="store_true", help="print JSON")
    option("--sarif", action="store_true", help="print SARIF 2.1.0, which forges can display")
    option("--fix", action="store_true", help="make the changes that are safe, and list them")
    option(
        "--ignore",
        action="append",
        default=[],
        metavar="RULE[:GLOB]",
        help="ignore a rule, everywhere or in some files (repeatable)",
    )
    option("--no-linters", action="store_true", help="do not run zizmor, actionlint and hadolint")
    option("--no-docker", action="store_true", help="do not run docker compose config")
    option("--rules", action="store_true", help="list the rules")
    return top


def findings_of(project: Project, options: argparse.Namespace) -> tuple[list[Finding], list[str]]:
    """Return the findings in order, and why programs did not run."""
    programs: list[Callable[[Project], linters.Result]] = []
    if not options.no_linters:
        programs += [linters.zizmor, linters.actionlint, linters.hadolint]
    if not options.no_docker:
        programs.append(linters.compose_config)
    results = linters.run_all(project, programs)
    if options.no_linters:
        results.append(linters.Result(list(check_workflows.fallback(project))))
    found = built_in(project) + [finding for result in results for finding in result.findings]
    kept = {finding for finding in found if not project.is_ignored(finding)}
    skipped = [result.skipped for result in results if result.skipped]
    return sorted(kept, key=lambda finding: (*finding.order, finding.message)), skipped


def report(findings: list[Finding], skipped: list[str], fixed: list[str]) -> None:
    """Print a report for people."""
    for line in fixed:
        print(f"fixed {line}")
    if fixed:
        print()
    print("\n".join(output.as_text(findings)))
    for reason in skipped:
        print(reason, file=sys.stderr)
    errors, warnings = output.counts(findings)
    fixable = sum(finding.edit is not None for finding in findings)
    more = f" {fixable} can be fixed with --fix." if fixable else ""
    print(f"doctor: {count(errors, 'error')}, {count(warnings, 'warning')}.{more}")
    if findings:
        print(f"Explanations: {PAGE}#RULE")


def count(number: int, noun: str) -> str:
    """Return a number with a noun."""
    return f"{number} {noun}" + "s" * (number != 1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    top = parser()
    options = top.parse_args(arguments)
    # A character that the terminal's encoding lacks must not stop the report.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.json and options.sarif:
        top.error("choose one of --json and --sarif")
    if not options.root.is_dir():
        top.error(f"{options.root} is not a folder")
    if options.rules:
        for name in sorted(RULES):
            print(f"{name:24}{RULES[name].title}")
        return 0
    try:
        settings = read_settings(options.root, RULES)
        check_rules((item.partition(":")[0] for item in options.ignore), RULES, "--ignore")
    except SettingsError as error:
        top.error(str(error))
    ignore = (*settings.get("ignore", ()), *options.ignore)
    exclude = settings.get("exclude", ())
    project = Project(options.root.resolve(), exclude=exclude, ignore=ignore)
    findings, skipped = findings_of(project, options)
    fixed = []
    if options.fix:
        done = list(fixes.apply(project.root, findings))
        fixed = [line for _, line in done]
        changed = {finding for finding, _ in done}
        findings = [finding for finding in findings if finding not in changed]
    if options.json:
        print(json.dumps(output.as_json(findings, skipped) | {"fixed": fixed}, indent=2))
    elif options.sarif:
        print(json.dumps(output.as_sarif(findings), indent=2))
    else:
        report(findings, skipped, fixed)
    return 1 if output.counts(findings)[0] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # The reader, such as `head`, has read enough.
        sys.stderr.close()
        sys.exit(1)
