# Kept by the template: copier update merges its changes into this file.
"""Rules for test stacks, and for how tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from . import images
from .compose import ComposeFile, Environment, Service, default_of, text
from .model import Finding, Severity, rule
from .project import Project

INSTANCE = "${TEST_INSTANCE_ID:?}"

#: Where scripts choose the project name of a stack.
PROJECT_NAME = re.compile(
    r"COMPOSE_PROJECT_NAME\W{0,3}=|--project-name[\s=]|\bcompose\s+(?:-f\s*\S+\s+|--file[\s=]\S+\s+)*-p\s"
)


def stacks(project: Project) -> Iterator[ComposeFile]:
    """Yield the compose files of test stacks."""
    return (f for f in project.compose_files if f.environment is Environment.TEST)


def test_services(project: Project) -> Iterator[tuple[ComposeFile, Service]]:
    """Yield the services of test stacks."""
    for file in stacks(project):
        for service in file.services.values():
            yield file, service


@rule("test-fixed-port", "A test stack publishes a fixed port")
def test_fixed_port(project: Project) -> Iterator[Finding]:
    """Report ports of test stacks that only one stack can use at a time."""
    for file, service in test_services(project):
        for port in service.ports(service.own):
            if not port.default_published or port.default_published == "0":
                continue
            if "$" in port.published and not default_of(port.published).isdigit():
                continue
            lines = f'    ports:\n      - "127.0.0.1::{port.container}"'
            if not port.text:
                lines = f"      - target: {port.container}\n        host_ip: 127.0.0.1"
            yield Finding(
                "test-fixed-port",
                file.path,
                port.line,
                f"the test stack publishes port {port.published} of {service.name}",
                "Two branches, worktrees or CI jobs cannot run it at the same time. Docker can "
                f"choose the port; find it with: docker compose port {service.name} "
                f"{port.container}",
                lines,
            )


@rule("test-fixed-name", "A container, network or volume of a test stack has a fixed name")
def test_fixed_name(project: Project) -> Iterator[Finding]:
    """Report names that only one test stack can use at a time."""
    why = "A second stack of another branch or worktree cannot be created while this one runs."
    for file, service in test_services(project):
        name = text(service.own.get("container_name"))
        if name and "$" not in name:
            yield Finding(
                "test-fixed-name",
                file.path,
                service.own.line_of("container_name"),
                f"{service.name} has the fixed container name {name}",
                why,
                f"    # delete container_name, or:\n    container_name: {name}-{INSTANCE}",
            )
    for file in stacks(project):
        for section in ("networks", "volumes"):
            for key, line, value in file.section(section):
                name = text(value.get("name")) if isinstance(value, dict) else ""
                if name and "$" not in name and not value.get("external"):
                    yield Finding(
                        "test-fixed-name",
                        file.path,
                        value.line_of("name") if hasattr(value, "line_of") else line,
                        f"the {section.removesuffix('s')} {key} has the fixed name {name}",
                        why,
                        f"    # delete name, or:\n    name: {name}-{INSTANCE}",
                    )


def project_names(project: Project) -> list[tuple[str, int, str]]:
    """Return where scripts choose a project name: path, line, and the rest of the line."""
    found = []
    names = [*project.script_names, *project.workflow_names]
    for path in names + [name for name in project.files if name.endswith(".py")]:
        content = project.text(path)
        if "COMPOSE_PROJECT_NAME" in content or "compose" in content:
            for number, line in enumerate(content.splitlines(), 1):
                if match := PROJECT_NAME.search(line):
                    found.append((path, number, line[match.end() :].strip()))
    return found


@rule("test-project-name", "A test stack has no project name of its own")
def test_project_name(project: Project) -> Iterator[Finding]:
    """Report test stacks whose project name is the name of their folder."""
    if project_names(project):
        return
    for file in stacks(project):
        if not file.name and not file.is_partial:
            folder = PurePosixPath(file.path).parent.name or "the folder's name"
            yield Finding(
                "test-project-name",
                file.path,
                1,
                f"the test stack has no project name, so it is {folder} in every worktree",
                "All worktrees share containers and image names, so one replaces the image that "
                "another one tests.",
                f"name: test-{INSTANCE}",
            )


@rule("branch-isolation", "A test stack has the same project name in every branch")
def branch_isolation(project: Project) -> Iterator[Finding]:
    """Report project names of test stacks without a variable."""
    why = "Tests of two branches or worktrees use the same containers and stop each other."
    for file in stacks(project):
        if file.name and "$" not in file.name and not project_names(project):
            yield Finding(
                "branch-isolation",
                file.path,
                file.line_of("name"),
                f"the project name {file.name} of the test stack is the same in every branch",
                why,
                f"name: {file.name}-{INSTANCE}",
            )
    if not list(stacks(project)):
        return
    for path, line, value in project_names(project):
        is_test = "test" in value.lower() or "test" in PurePosixPath(path).name.lower()
        is_test = is_test and bool(re.search(r"docker[ -]compose", project.text(path)))
        if is_test and re.match(r"[\"']?[\w-]+[\"']?(\s|$|;)", value):
            fixed = re.split(r"[\s;]", value)[0].strip("\"'")
            yield Finding(
                "branch-isolation",
                path,
                line,
                f"the project name {fixed} is the same in every branch",
                why,
                f'COMPOSE_PROJECT_NAME="{fixed}-$TEST_INSTANCE_ID"',
            )


@rule("test-volume", "A test stack keeps its data")
def test_volume(project: Project) -> Iterator[Finding]:
    """Report databases of test stacks that do not write to memory."""
    for file, service in test_services(project):
        known = images.DATABASES.get(service.public_image.name)
        data = known[0] if known else ""
        if service.name and service.public_image.name == "postgres":
            data = "/var/lib/postgresql" if newest_postgres(service) else data
        volumes = [mount for mount in service.mounts(service.own) if mount.kind == "volume"]
        for mount in volumes:
            if not mount.source:
                continue
            if not data or mount.target.startswith((data, "/var/lib/postgresql")):
                yield Finding(
                    "test-volume",
                    file.path,
                    mount.line,
                    f"{service.name} of the test stack stores data in the volume {mount.source}",
                    "Tests find the data of earlier runs, and wait for the disk.",
                    f"    tmpfs:\n      - {data or mount.target}",
                )
        writes = any(mount.target.startswith(data) for mount in service.mounts(service.merged))
        in_memory = any(
            path and (data.startswith(path) or path.startswith(data)) for path in service.tmpfs
        )
        if data and not writes and not in_memory and not service.partial:
            yield Finding(
                "test-volume",
                file.path,
                service.line,
                f"the data of {service.name} in the test stack is not in memory",
                "Tests wait for the disk.",
                f"    tmpfs:\n      - {data}",
                Severity.WARNING,
            )


def newest_postgres(service: Service) -> bool:
    """Return whether the image is PostgreSQL 18 or later, whose data is in another folder."""
    version = re.match(r"\d+", service.public_image.tag)
    return bool(version and int(version[0]) >= 18)


@rule("test-bind-mount", "A test stack mounts files of the host")
def test_bind_mount(project: Project) -> Iterator[Finding]:
    """Report bind mounts of folders, and writable ones, in test stacks."""
    for file, service in test_services(project):
        for mount in service.mounts(service.own):
            source = default_of(mount.source)
            if mount.kind != "bind" or source.endswith("docker.sock"):
                continue
            is_file = bool(PurePosixPath(source).suffix) and not source.endswith("/")
            is_settings = is_file or mount.target.startswith(("/etc/", "/docker-entrypoint"))
            if is_settings and mount.read_only:
                continue
            yield Finding(
                "test-bind-mount",
                file.path,
                mount.line,
                f"{service.name} of the test stack mounts {mount.source}",
                "The tests do not test the image as it is built, and the mount is empty if the "
                "tests run in a container that has only Docker's socket.",
                "    # delete the mount, and copy the files in the Dockerfile; for a configuration"
                " file:\n    configs:\n      - source: settings\n        target: "
                f"{mount.target}",
            )


@rule("single-test-stage", "There is only one kind of tests")
def single_test_stage(project: Project) -> Iterator[Finding]:
    """Report a Makefile whose only test target needs containers."""
    stages = re.compile(
        r"^(?:test[-_:.]?(?:unit|service|integration|e2e)|(?:unit|integration|e2e)[-_]?tests?)\b.*:",
        re.MULTILINE,
    )
    for path in makefiles(project):
        content = project.text(path)
        target = re.search(r"^tests?\s*:(?!=).*\n((?:\t.*\n?)+)", content, re.MULTILINE)
        if not target or stages.search(content):
            continue
        if re.search(r"docker[ -]compose|docker run", target[1]) or (
            list(stacks(project)) and "/" not in path and re.search(r"test", target[1])
        ):
            yield Finding(
                "single-test-stage",
                path,
                content.count("\n", 0, target.start()) + 1,
                "the only test target runs all tests at once, with containers",
                "The fast unit tests wait for containers, and a failure does not say which level "
                "broke.",
                "test: test-unit test-integration\n\ntest-unit:\n\t# tests without containers"
                "\n\ntest-integration:\n\t# tests with containers",
                Severity.WARNING,
            )


def makefiles(project: Project) -> Iterator[str]:
    """Yield the Makefiles."""
    return (
        n for n in project.script_names if re.fullmatch(r"(GNUm|M|m)akefile", PurePosixPath(n).name)
    )


@rule("verbose-test-output", "The test command prints every test and every log line")
def verbose_test_output(project: Project) -> Iterator[Finding]:
    """Report test targets that always print everything."""
    verbose = re.compile(
        r"\bpytest\b[^|;&#]*\s(-[a-z]*v+[a-z]*|--verbose|-s|--capture=no)(?=\s|$)"
        r"|\bgo test\b[^|;&#]*\s-v(?=\s|$)|\b(jest|vitest)\b[^|;&#]*\s--verbose(?=\s|$)"
    )
    for path in makefiles(project):
        content = project.text(path)
        for target in re.finditer(
            r"^(tests?[\w-]*)\s*:(?!=).*\n((?:\t.*\n?)+)", content, re.MULTILINE
        ):
            if re.search(r"verbose|watch|debug", target[1]):
                continue
            start = content.count("\n", 0, target.start(2)) + 1
            for number, line in enumerate(target[2].splitlines(), start):
                if found := verbose.search(line):
                    yield Finding(
                        "verbose-test-output",
                        path,
                        number,
                        f"make {target[1]} always prints every test ({found[0].split()[-1]})",
                        "The one failure that matters is lost in the output, in CI and for agents.",
                        f"{target[1]}:\n\t"
                        + re.sub(
                            r"\s" + re.escape(found[0].split()[-1]) + r"(?=\s|$)", "", line.strip()
                        )
                        + f"\n\n{target[1]}-verbose:\n\t{line.strip()}",
                        Severity.WARNING,
                    )
