# Kept by the template: copier update merges its changes into this file.
"""Rules for workflows. zizmor and actionlint check everything that this pattern does not decide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .compose import text
from .located_yaml import List, Map
from .model import Finding, Severity, external, rule
from .project import Project

#: Rules that zizmor checks. `fallback` checks them if zizmor is not available.
external("action-not-pinned", "A workflow uses an action that is not pinned to a commit")
external("workflow-permissions", "A workflow has more permissions than it needs")
external("zizmor", "zizmor found a weakness of a workflow")
external("actionlint", "actionlint found a mistake in a workflow")
external("hadolint", "hadolint found a mistake in a Dockerfile")

COMMIT = re.compile(r"[0-9a-f]{40}|sha256:[0-9a-f]{64}")
BUILDS = re.compile(
    r"docker (buildx )?build\b|docker[ -]compose\b[^\n]*\bbuild\b|docker/build-push-action"
)
SELECTS = re.compile(r"changed|paths-filter|git diff|\baffected\b|turbo\b.*--filter", re.IGNORECASE)

WHY_PINNED = "A tag can be moved to other code, which then runs with the workflow's secrets."
WHY_PERMISSIONS = (
    "Without permissions, the token of every job may be allowed to write to the repository, "
    "depending on a setting."
)


def workflows(project: Project) -> Iterator[tuple[str, Map]]:
    """Yield the path and the content of each workflow."""
    for path in project.workflow_names:
        for document in project.documents(path):
            if isinstance(document.get("jobs"), Map):
                yield path, document


def jobs(workflow: Map) -> Iterator[tuple[str, Map]]:
    """Yield the jobs of a workflow."""
    for name, job in workflow["jobs"].items():
        if isinstance(job, Map):
            yield name, job


def steps(job: Map) -> Iterator[Map]:
    """Yield the steps of a job."""
    found = job.get("steps")
    if isinstance(found, List):
        yield from (step for step in found if isinstance(step, Map))


def triggers(workflow: Map) -> dict[str, Any]:
    """Return the events that start a workflow, and their settings."""
    on = workflow.get("on")
    if isinstance(on, Map):
        return on
    return {text(event): None for event in (on if isinstance(on, list) else [on])}


def not_pinned(path: str, line: int, action: str) -> Finding:
    """Return the finding about an action without a commit."""
    name, _, tag = action.partition("@")
    return Finding(
        "action-not-pinned",
        path,
        line,
        f"{action} is not pinned to a commit",
        WHY_PINNED,
        f"# the commit: git ls-remote https://github.com/{'/'.join(name.split('/')[:2])} {tag}\n"
        f"uses: {name}@<40 digits of the commit> # {tag}",
    )


def too_many_permissions(path: str, line: int, message: str) -> Finding:
    """Return the finding about missing or broad permissions."""
    return Finding(
        "workflow-permissions",
        path,
        line,
        message,
        WHY_PERMISSIONS,
        "permissions:\n  contents: read",
    )


def fallback(project: Project) -> Iterator[Finding]:
    """Check the pins and the permissions, if zizmor is not available."""
    for path, workflow in workflows(project):
        if "permissions" not in workflow and not all(
            "permissions" in job for _, job in jobs(workflow)
        ):
            yield too_many_permissions(path, 1, "the workflow sets no permissions")
        for owner in (workflow, *(job for _, job in jobs(workflow))):
            if text(owner.get("permissions")) == "write-all":
                line = owner.line_of("permissions")
                yield too_many_permissions(path, line, "the jobs may write everything")
        for _, job in jobs(workflow):
            for user in (job, *steps(job)):
                action = text(user.get("uses"))
                reference = action.partition("@")[2]
                local = not action or action.startswith("./")
                if not local and not COMMIT.fullmatch(reference):
                    yield not_pinned(path, user.line_of("uses"), action)


@rule("build-everything", "CI builds all images on every change")
def build_everything(project: Project) -> Iterator[Finding]:
    """Report workflows of pushes that build several images without asking what changed."""
    for path, workflow in workflows(project):
        events = triggers(workflow)
        relevant = [
            settings
            for event in ("push", "pull_request")
            if event in events
            for settings in [events[event]]
        ]
        # A push of tags is a release, and `paths` limits the workflow.
        relevant = [
            settings
            for settings in relevant
            if not isinstance(settings, Map)
            or (
                not {"paths", "paths-ignore"} & set(settings)
                and ("branches" in settings or "tags" not in settings)
            )
        ]
        content = project.text(path)
        if not relevant or SELECTS.search(content):
            continue
        for name, job in jobs(workflow):
            built = [
                step
                for step in steps(job)
                if BUILDS.search(f"{text(step.get('run'))} {text(step.get('uses'))}")
            ]
            condition = text(job.get("if"))
            if not built or re.search(r"refs/tags|workflow_dispatch", condition):
                continue
            commands = "\n".join(text(step.get("run")) for step in built)
            count = len(BUILDS.findall(commands)) + sum(bool(step.get("uses")) for step in built)
            services = matrix_of_services(project, job)
            files = re.findall(r"(?:-f|--file)[ =](\S+)", commands)
            if len(files) == count and len(set(files)) == 1:
                count = 1  # Several stages of one image.
            if services or count > 1:
                yield Finding(
                    "build-everything",
                    path,
                    workflow["jobs"].line_of(name),
                    f"the job {name} builds "
                    + (f"all of {', '.join(services)}" if services else "several images")
                    + " on every push",
                    "A change of one service waits for the build of all others.",
                    "# a first job lists what changed:\n"
                    '  git diff --name-only "$BASE" HEAD | cut -d/ -f1-2 | sort -u\n'
                    f"# and {name} runs only for that list:\n"
                    "  strategy:\n    matrix:\n"
                    "      service: ${{ fromJSON(needs.changes.outputs.services) }}",
                    Severity.WARNING,
                )


def matrix_of_services(project: Project, job: Map) -> list[str]:
    """Return the folders with a Dockerfile that a job's matrix lists."""
    strategy = job.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, Map) else None
    folders = {part for path in project.dockerfiles for part in path.split("/")[:-1]}
    folders |= {name for file in project.compose_files for name in file.services}
    if isinstance(matrix, Map):
        for values in matrix.values():
            if isinstance(values, List):
                names = [text(value) for value in values]
                if len(names) > 1 and all(name in folders for name in names):
                    return names
    return []
