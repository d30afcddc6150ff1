# Kept by the template: copier update merges its changes into this file.
"""Rules for scripts, .env files, and the template's files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

from .check_workflows import jobs, workflows
from .compose import ComposeFile, Environment
from .model import Finding, Severity, rule
from .project import Project

MARK = "Kept by the template"
ANSWERS = ".copier-answers.yml"

#: Commands that remove what they did not create, and what to write instead.
CLEAN_UPS = {
    r"docker\s+(?:rm|stop|kill|container\s+rm)\b[^\n|;]*\$\$?\(\s*docker\s+(?:ps|container\s+ls)\b(?![^\n)]*label=)[^\n)]*\)": (
        "removes the containers of all projects"
    ),
    r"docker\s+(?:ps|container\s+ls)\b(?![^\n|]*label=)[^\n|]*\|[^\n]*\bdocker\s+(?:rm|stop|kill|container\s+rm)\b": (
        "finds the containers that it removes by a part of their name, or removes all"
    ),
    r"docker\s+(?:system|volume|container|network)\s+prune\b(?![^\n|;&]*label)": (
        "removes what other projects on the machine have stopped"
    ),
    r"docker\s+(?:volume|network)\s+rm\b[^\n|;]*\$\$?\(\s*docker\s+(?:volume|network)\s+ls\b(?![^\n)]*label=)[^\n)]*\)": (
        "removes volumes or networks of other projects"
    ),
    r"docker\s+(?:volume|network)\s+ls\b(?![^\n|]*label=)[^\n|]*\|[^\n]*\bdocker\s+(?:volume|network)\s+rm\b": (
        "removes volumes or networks of other projects"
    ),
}

#: Variables that Compose, a shell or a forge sets.
GIVEN = frozenset(
    "CI COMPOSE_FILE COMPOSE_PROFILES COMPOSE_PROJECT_NAME DOCKER_HOST GID GITHUB_SHA HOME HOSTNAME "
    "PATH PWD TMPDIR UID USER".split()
)
VARIABLE = re.compile(r"(?<!\$)\$(?:\$\$)*(?:\{(\w+)(:?[-?+])?|([A-Za-z_]\w*))")


@rule("clean-up-scope", "A clean-up removes what it did not create")
def clean_up_scope(project: Project) -> Iterator[Finding]:
    """Report commands that remove containers of other branches or projects."""
    for path, first, content in commands(project):
        joined = re.sub(r"\\\n", "  ", content)
        for pattern, problem in CLEAN_UPS.items():
            for match in re.finditer(pattern, joined):
                before = joined[: match.start()]
                start = before.rpartition("\n")[2].lstrip()
                if start.startswith(("#", "echo", "@echo", "printf", "//")):
                    continue
                # Each joined line break is two spaces now, as `\` and the line break were.
                line = content.count("\n", 0, match.start()) + first
                yield Finding(
                    "clean-up-scope",
                    path,
                    line,
                    f"this {problem}",
                    "It stops the tests of other worktrees, and deletes data of other projects.",
                    "docker compose down --volumes --remove-orphans\n"
                    "# without the compose file, by Compose's own label:\n"
                    "docker ps --all --quiet --filter "
                    "label=com.docker.compose.project=NAME | xargs -r docker rm --force --volumes",
                )


def commands(project: Project) -> Iterator[tuple[str, int, str]]:
    """Yield the path, first line and text of the commands in scripts and workflows.

    A machine of GitHub is new for every job, so a job may remove everything there.
    """
    for path in project.script_names:
        yield path, 1, project.text(path)
    for path, workflow in workflows(project):
        lines = project.text(path).splitlines()
        for name, job in jobs(workflow):
            runner = job.get("runs-on")
            hosted = isinstance(runner, str) and re.match(r"(ubuntu|macos|windows)-|\$", runner)
            if hosted and path.startswith(".github/"):
                continue
            start = workflow["jobs"].line_of(name)
            others = [workflow["jobs"].line_of(other) for other, _ in jobs(workflow)]
            end = min((line for line in others if line > start), default=len(lines) + 1)
            yield path, start, "\n".join(lines[start - 1 : end - 1])


@rule("env-example", "A variable of a compose file is in no .env.example")
def env_example(project: Project) -> Iterator[Finding]:
    """Report variables that a new user does not know about."""
    scripts = "\n".join(
        project.text(name) for name in [*project.script_names, *project.workflow_names]
    )
    for file in project.compose_files:
        if file.is_override or file.environment is Environment.TEST:
            continue
        examples = examples_of(project, file)
        known = {
            name
            for example in examples
            for name in re.findall(
                r"^[#\s]*(?:export\s+)?([A-Za-z_]\w*)\s*=", project.text(example), re.MULTILINE
            )
        }
        # A script or workflow may set it.
        known |= set(re.findall(r"\b([A-Za-z_]\w*)[:?]?=", scripts))
        known |= set(re.findall(r"^\s+([A-Z_]\w*):\s", scripts, re.MULTILINE))
        missing: dict[str, tuple[int, bool]] = {}
        for number, line in enumerate(project.text(file.path).splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for braced, operator, plain in VARIABLE.findall(re.sub(r"\s#.*", "", line)):
                name = braced or plain
                if name in GIVEN or name in known or name in missing:
                    continue
                missing[name] = (number, "-" in operator or "+" in operator)
        required = {name: line for name, (line, optional) in missing.items() if not optional}
        optional = {name: line for name, (line, optional) in missing.items() if optional}
        if not examples:
            if required:
                yield Finding(
                    "env-example",
                    file.path,
                    min(required.values()),
                    f"no .env.example lists {', '.join(required)}, which the compose file reads",
                    "A new user only learns about a variable when the stack fails.",
                    f"# {file.folder + '/' if file.folder else ''}.env.example\n"
                    + "\n".join(f"{name}=" for name in required),
                    Severity.WARNING,
                )
            continue
        for names, severity in ((required, Severity.ERROR), (optional, Severity.WARNING)):
            for name, place in names.items():
                yield Finding(
                    "env-example",
                    file.path,
                    place,
                    f"the variable {name} is not in {examples[0]}",
                    "A new user only learns about it when the stack fails or behaves differently."
                    if severity is Severity.WARNING
                    else "A new user only learns about it when the stack fails.",
                    f"{'# ' if severity is Severity.WARNING else ''}{name}=",
                    severity,
                )


def examples_of(project: Project, file: ComposeFile) -> list[str]:
    """Return the files that list a compose file's variables: beside it, or at the root."""
    return project.examples_for(file.folder) or project.examples_for("")


@rule("template-drift", "A file of the template was changed in the project")
def template_drift(project: Project) -> Iterator[Finding]:
    """Report changes of the template's files since the last update."""
    if ANSWERS not in project.files:
        return
    updated = git(project, "log", "-1", "--format=%H", "--", ANSWERS).strip()
    # While an update is not committed, its changes are in the working tree.
    if not updated or git(project, "status", "--porcelain", "--", ANSWERS):
        return
    changed = git(project, "diff", "--relative", "--name-only", "-z", updated, "--").split("\0")
    for path in filter(None, changed):
        before = git(project, "show", f"{updated}:./{path}")
        if MARK not in "\n".join(before.splitlines()[:8]):
            continue
        exists = (project.root / path).exists()
        yield Finding(
            "template-drift",
            path if exists else ANSWERS,
            1,
            f"{path} belongs to the template, and was {'changed' if exists else 'deleted'} since "
            "the last update",
            "Each update merges the change again, and may leave a conflict. Your own settings "
            "belong in docker-compose.override.yml or Makefile.local.",
            f"git diff {updated[:12]} -- {path}",
            Severity.WARNING,
        )


def git(project: Project, *arguments: str) -> str:
    """Return the output of git; empty if it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=project.root, capture_output=True, text=True, errors="replace"
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
