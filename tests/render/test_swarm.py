"""The files for Docker Swarm: what `docker stack deploy` accepts, and what it would ignore."""

from __future__ import annotations

import os
import re
import shutil
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
    own |= set(re.findall(r"\$\{(\w+_DIGEST):-\}", text))
    internal = {f"{name}_REPLICAS" for name in ("DOOR", "CACHE", "BACKUP", "BACKUP_PUSH")}
    script = {"JOB_TIMEOUT", "DEPLOY_TIMEOUT", "BACKUP_TIMEOUT"}
    script |= {"COSIGN_KEY", "COSIGN_IDENTITY", "COSIGN_ISSUER"}
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


# SIGNATURES -------------------------------------------------------------------
#: Replaces docker: writes its arguments and what a stack gets to a file, and answers as a manager would,
#: whose services run what was deployed last.
MANAGER = """#!/bin/sh
echo "docker $*" >>"$FOLDER/calls"
version=$(cat "$FOLDER/version" 2>/dev/null)
case "$*" in
  info*) echo active true ;;
  "secret ls"*)
    for name in postgres api_database worker_database cache backup; do
      echo "my-project_${name}_password_1"
    done
    echo my-project_backup_credentials_1
    ;;
  "config ls"*) [ ! -e "$FOLDER/labels" ] || echo my-project_release_1 ;;
  "config inspect"*) label=${4#*\\"}; sed -n "s/^${label%%\\"*}=//p" "$FOLDER/labels" ;;
  "config create"*) for word; do echo "$word"; done | grep '^my-project\\.' >"$FOLDER/labels" ;;
  *.RepoDigests*) image=${5%:*}; printf 'other@sha256:0\\n%s@sha256:%s\\n' "$image" "${DIGEST-5}" ;;
  *image.version*) echo "${RELEASE:-}" ;;
  *UpdateStatus*) [ "$version" != "${BAD:-none}" ] || paused=paused; echo "1 ${paused:-}" ;;
  *Replicated.Replicas*) echo 1 ;;
  *desired-state=running*) echo "image:$version Running 1 second ago" ;;
  *CurrentState*) echo Complete ;;
  "stack deploy"*)
    echo "$VERSION" >"$FOLDER/version"
    echo "stack $VERSION $(env | sed -n 's/_DIGEST=@sha256:/ /p' | sort | tr '\\n' ' ')" >>"$FOLDER/calls"
    ;;
esac
"""

#: Accepts what does not contain the word in UNSIGNED.
COSIGN = """#!/bin/sh
echo "cosign $*" >>"$FOLDER/calls"
echo "these checks were performed" >&2
case "$*" in *"${UNSIGNED:-nothing}"*) echo "Error: no signatures found" >&2; exit 1 ;; esac
"""

#: What changes the cluster.
CHANGES = ("stack ", "docker stack", "docker service create", "docker config create")


class Manager:
    """A project's deploy.sh on a manager, with programs that replace docker, cosign and sleep."""

    def __init__(self, project: Path, folder: Path) -> None:
        shutil.copytree(project / "deploy", folder / "deploy")
        self.folder = folder
        (folder / "deploy/swarm/cosign.pub").touch()
        (folder / "bin").mkdir()
        for name, text in {"docker": MANAGER, "cosign": COSIGN, "sleep": "#!/bin/sh\n"}.items():
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)

    def run(
        self, *arguments: str, exits: int = 0, env: dict[str, str] | None = None
    ) -> tuple[str, list[str]]:
        """Run deploy.sh with a key; return its errors and the calls."""
        (self.folder / "calls").write_text("")
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", str(self.folder / "deploy/swarm/deploy.sh"), *arguments],
            env={"PATH": path, "FOLDER": str(self.folder), "COSIGN_KEY": "./cosign.pub"}
            | (env or {}),
            capture_output=True,
            text=True,
        )
        assert done.returncode == exits, done.stderr
        return done.stderr, (self.folder / "calls").read_text().splitlines()

    def labels(self) -> dict[str, str]:
        """Return what the cluster recorded."""
        lines = (self.folder / "labels").read_text().splitlines()
        return dict(line.removeprefix("my-project.").split("=", 1) for line in lines)


@pytest.fixture
def manager(render: Callable[..., Path], tmp_path: Path) -> Manager:
    return Manager(render({"cache": "redis", "orchestrator": ["swarm"]}), tmp_path)


def stacks(calls: list[str]) -> list[str]:
    """Return the version and the digests of each `docker stack deploy`."""
    return [call.strip() for call in calls if call.startswith("stack ")]


def pinned(digest: str) -> str:
    """Return the digests of all images in one line."""
    return f"API {digest} FRONTEND {digest} WORKER {digest}"


@pytest.mark.programs
def test_a_stack_runs_exactly_the_images_whose_signatures_were_verified(manager: Manager) -> None:
    _, calls = manager.run("up", "1.2.3")
    image = "ghcr.io/my-org/my-project-"
    assert [call for call in calls if call.startswith("cosign")] == [
        f"cosign verify --key=./cosign.pub --insecure-ignore-tlog {image}{name}@sha256:5"
        for name in ("api", "worker", "frontend")
    ]
    first = next(n for n, call in enumerate(calls) if call.startswith(CHANGES))
    assert not any(call.startswith("cosign") for call in calls[first:])
    assert stacks(calls) == [f"stack 1.2.3 {pinned('5')}"]
    [migration] = [call for call in calls if "alembic" in call and "service create" in call]
    assert f"{image}api:1.2.3@sha256:5 " in migration


@pytest.mark.programs
@pytest.mark.parametrize("command", ["up", "deploy", "rollback"])
def test_an_image_without_a_signature_is_refused(manager: Manager, command: str) -> None:
    (manager.folder / "labels").write_text("my-project.release=1.0.0\n")
    errors, calls = manager.run(command, "1.2.3", exits=2, env={"UNSIGNED": "worker@"})
    assert "no signatures found" in errors
    assert "my-project-worker:1.2.3 is not signed by ./cosign.pub; nothing was changed" in errors
    assert not [call for call in calls if call.startswith(CHANGES)]


@pytest.mark.programs
@pytest.mark.parametrize(
    ("env", "reason"),
    [
        (
            {"RELEASE": "1.0.0"},
            "ghcr.io/my-org/my-project-api:1.2.3 is the image of the release 1.0.0; nothing was changed",
        ),
        ({"COSIGN_KEY": "./none.pub"}, "COSIGN_KEY=./none.pub cannot be read; nothing was changed"),
    ],
    ids=["an older release", "no key"],
)
def test_what_cannot_be_verified_is_refused_in_one_line(
    manager: Manager, env: dict[str, str], reason: str
) -> None:
    errors, calls = manager.run("up", "1.2.3", exits=2, env=env)
    assert errors.startswith(f"deploy.sh: {reason}")
    assert errors.count("\n") == 1
    assert not [call for call in calls if call.startswith(CHANGES)]


@pytest.mark.programs
def test_an_image_that_was_never_in_a_registry_is_refused(manager: Manager) -> None:
    image = "ghcr.io/my-org/my-project-api"
    text = MANAGER.replace("${5%:*}", "local")
    (manager.folder / "bin/docker").write_text(text)
    errors, calls = manager.run("up", "1.2.3", exits=2)
    assert f"it has no digest of its registry\ndeploy.sh: {image}:1.2.3 is not signed" in errors
    assert not [call for call in calls if call.startswith(CHANGES)]


@pytest.mark.programs
def test_a_workflow_must_have_signed_at_the_tag_of_the_version(manager: Manager) -> None:
    workflow = "https://github.com/my-org/shop/.github/workflows/release.yml"
    _, calls = manager.run("up", "1.2.3", env={"COSIGN_KEY": "", "COSIGN_IDENTITY": workflow})
    assert (
        f"cosign verify --certificate-identity={workflow}@refs/tags/v1.2.3"
        " --certificate-oidc-issuer=https://token.actions.githubusercontent.com"
        " ghcr.io/my-org/my-project-api@sha256:5"
    ) in calls


@pytest.mark.programs
def test_what_runs_keeps_its_digest_though_its_tag_moves(manager: Manager) -> None:
    manager.run("up", "1.2.3")
    _, calls = manager.run("rotate", "api_database_password", env={"DIGEST": "6"})
    assert {*stacks(calls)} == {f"stack 1.2.3 {pinned('5')}"}
    # A deploy that fails restores exactly what ran before.
    _, calls = manager.run("deploy", "1.2.4", exits=4, env={"DIGEST": "6", "BAD": "1.2.4"})
    assert stacks(calls) == [f"stack 1.2.4 {pinned('6')}", f"stack 1.2.3 {pinned('5')}"]
    assert manager.labels()["release"] == "1.2.3"


@pytest.mark.programs
def test_without_a_signer_nothing_is_verified_and_a_signer_may_come_later(manager: Manager) -> None:
    without = {"COSIGN_KEY": "", "UNSIGNED": "verify"}
    _, calls = manager.run("up", "1.2.2", env=without)
    _, more = manager.run("deploy", "1.2.3", env=without)
    assert stacks([*calls, *more]) == ["stack 1.2.2", "stack 1.2.3"]
    assert not [call for call in [*calls, *more] if "cosign" in call or "RepoDigests" in call]
    # Another `up` changes nothing that is recorded, and with a signer it records the digests.
    _, calls = manager.run("up", env=without)
    assert not [call for call in calls if "config create" in call]
    assert manager.labels() == {"release": "1.2.3", "previous": "1.2.2", "digests": ""}
    manager.run("up")
    labels = manager.labels()
    assert labels.pop("digests").startswith("API_DIGEST=@sha256:5 WORKER_DIGEST=@sha256:5 ")
    assert labels == {"release": "1.2.3", "previous": "1.2.2"}
