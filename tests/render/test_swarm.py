"""The files for Docker Swarm: what `docker stack deploy` accepts, and what it would ignore."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import pairwise
from .conftest import Project
from .test_compose import FILLED_IN

#: What Swarm ignores or refuses, though Compose knows it.
IGNORED = {"build", "depends_on", "restart", "security_opt", "shm_size", "tmpfs", "pull_policy"}

#: The sets of answers with Swarm. Other tests render the same projects.
WITH_SWARM = {
    name: answers
    for name, answers in pairwise.pairwise().items()
    if "swarm" in answers["orchestrator"]
}


@pytest.fixture(scope="module", params=WITH_SWARM)
def swarm_project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """A project for each set of answers with Swarm."""
    answers = WITH_SWARM[request.param]
    return Project(request.param, answers, render(answers))


def folder(project: Project) -> Path:
    return project.root / "deploy/swarm"


def stack(project: Project) -> dict[str, Any]:
    """Return the stack file."""
    found: dict[str, Any] = yaml.safe_load((folder(project) / "docker-stack.yml").read_text())
    return found


def own_services(project: Project) -> dict[str, Any]:
    text = (project.root / "deploy/prod/docker-compose.build.yml").read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def variables(text: str) -> dict[str, str]:
    """Return the variables of a stack file that have no default, with a value for each."""
    names = set(re.findall(r"\$\{(\w+):?\?", text))
    ends = FILLED_IN | {"_VERSION": "2", "_FIRST": "1", "_SUM": "123"}
    return {
        name: next(value for end, value in reversed(ends.items()) if name.endswith(end))
        for name in names
    }


def test_no_service_has_a_setting_that_swarm_ignores(swarm_project: Project) -> None:
    swarm_project.check(
        [
            f"{name}: has {', '.join(found)}"
            for name, service in stack(swarm_project)["services"].items()
            if (found := sorted(IGNORED & set(service)))
        ]
    )


def test_only_the_door_publishes_ports(swarm_project: Project) -> None:
    services = stack(swarm_project)["services"]
    assert {name for name, service in services.items() if "ports" in service} <= {"door"}
    warned = "EVERY node" in (folder(swarm_project) / "docker-stack.yml").read_text()
    assert warned == ("door" in services)
    assert ("EVERY node" in (folder(swarm_project) / "deploy.sh").read_text()) == warned


def test_no_two_ports_have_one_number(swarm_project: Project) -> None:
    """With an override file, Docker merges ports by their numbers, whatever their protocols."""
    ports = stack(swarm_project)["services"].get("door", {}).get("ports", [])
    published = [port["published"] for port in ports]
    assert len(published) == len(set(published))


def test_every_own_service_starts_first_and_is_rolled_back(swarm_project: Project) -> None:
    services = stack(swarm_project)["services"]
    problems = []
    for name, built in own_services(swarm_project).items():
        service = services[name]
        if service["image"].partition(":$")[0] != built["image"].partition(":$")[0]:
            problems.append(f"{name}: has the image {service['image']}")
        if not service["read_only"] or service["cap_drop"] != ["ALL"]:
            problems.append(f"{name}: is not hardened")
        update = service["deploy"].get("update_config", {})
        if service["deploy"].get("mode") != "replicated-job" and (
            update.get("order"),
            update.get("failure_action"),
        ) != ("start-first", "rollback"):
            problems.append(f"{name}: is updated with {update}")
    swarm_project.check(problems)


def test_what_has_data_stays_on_its_node(swarm_project: Project) -> None:
    slug = swarm_project.answers.get("project_slug", "my-project")
    services = stack(swarm_project)["services"]
    for name in {"database", "cache", "door", "backup", "backup-push"} & set(services):
        placement = services[name]["deploy"]["placement"]
        assert placement == {"constraints": [f"node.labels.{slug}-data == true"]}


def test_every_secret_is_declared_used_and_created(swarm_project: Project) -> None:
    found = stack(swarm_project)
    used = {
        secret["source"] if isinstance(secret, dict) else secret
        for service in found["services"].values()
        for secret in service.get("secrets", [])
    }
    assert used == set(found.get("secrets", {}))
    slug = swarm_project.answers.get("project_slug", "my-project")
    script = (folder(swarm_project) / "deploy.sh").read_text()
    created = re.search(r'^SECRETS="(.*)"$', script, re.MULTILINE)
    assert created
    of_backups = re.search(r'^BACKUP_SECRETS="(.*)"', script, re.MULTILINE)
    names = {
        re.sub(rf"^{re.escape(slug)}_|_\$.*", "", secret["name"])
        for secret in found.get("secrets", {}).values()
    }
    assert names == {*created[1].split(), *(of_backups[1].split() if of_backups else [])}


def test_no_value_is_a_password(swarm_project: Project) -> None:
    text = (folder(swarm_project) / "docker-stack.yml").read_text()
    for url in re.findall(r"\w+://\S+@", text):
        assert (
            re.fullmatch(r"[\w+]+://\w+-\$\{\w+_VERSION:\?run", url + "")
            or ":" not in (url.partition("://")[2].partition("${")[0])
        ), url


def test_the_example_names_the_variables_of_the_stack(swarm_project: Project) -> None:
    text = (folder(swarm_project) / "docker-stack.yml").read_text()
    example = (folder(swarm_project) / ".env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
    own = set(re.findall(r"\$\{(\w+?_(?:VERSION|FIRST|SUM)):\?", text)) | {"VERSION"}
    internal = {f"{name}_REPLICAS" for name in ("DOOR", "CACHE", "BACKUP", "BACKUP_PUSH")}
    script = {"JOB_TIMEOUT", "DEPLOY_TIMEOUT", "BACKUP_TIMEOUT"}
    assert set(re.findall(r"\$\{(\w+)", text)) - own - internal == named - script


def test_a_project_without_swarm_has_not_a_line_of_it(render: Callable[..., Path]) -> None:
    root = render(
        {"cache": "redis", "services": "api, orders:node-api, worker, frontend, b:custom"}
    )
    assert not (root / "deploy/swarm").exists()
    for path in root.rglob("*"):
        if path.is_file():
            assert "swarm" not in path.read_text(encoding="utf-8").lower(), path


@pytest.mark.programs
def test_docker_accepts_the_stack_file_without_a_warning(swarm_project: Project) -> None:
    text = (folder(swarm_project) / "docker-stack.yml").read_text()
    done = subprocess.run(
        ["docker", "stack", "config", "--compose-file", "docker-stack.yml"],
        cwd=folder(swarm_project),
        env={key: os.environ[key] for key in ("PATH", "HOME")} | variables(text),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = yaml.safe_load(done.stdout)
    assert set(found["services"]) == set(stack(swarm_project)["services"])


@pytest.mark.programs
@pytest.mark.parametrize(
    "arguments", [[], ["deploy"], ["rollback", "1", "2"], ["unknown"], ["rotate"]]
)
def test_wrong_arguments_show_the_usage(render: Callable[..., Path], arguments: list[str]) -> None:
    root = render({"cache": "redis", "orchestrator": ["swarm"]})
    done = subprocess.run(
        ["sh", str(root / "deploy/swarm/deploy.sh"), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "usage: ./deploy.sh COMMAND" in done.stderr
