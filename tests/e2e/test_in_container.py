"""The pipeline in a container with access to Docker's socket only, as in many CI systems."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import NOTHING, PYTHON_VERSION, Project, clean_environment, docker

SOCKET = "/var/run/docker.sock"

#: The packages of the runner's image. docker and uv are mounted from this machine.
JOB_IMAGE = f"""
FROM node:24-slim AS node
FROM python:{PYTHON_VERSION}-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends git make
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV CI=true GITEA_ACTIONS=true NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
"""


@contextmanager
def job_container(project: Project, image: str) -> Iterator[str]:
    """A container with the tools, Docker's socket, and a copy of the project in /workspace."""
    plugins = json.loads(docker("info", "--format={{json .ClientInfo.Plugins}}"))
    compose = next(plugin["Path"] for plugin in plugins if plugin["Name"] == "compose")
    tools = {
        shutil.which("docker"): "/usr/local/bin/docker",
        shutil.which("uv", path=clean_environment()["PATH"]): "/usr/local/bin/uv",
        compose: "/usr/local/lib/docker/cli-plugins/docker-compose",
    }
    mounts = [f"--volume={Path(str(here)).resolve()}:{there}:ro" for here, there in tools.items()]
    container = docker(
        *("run", "--detach", "--init", f"--label=test.project={project.slug}", *mounts),
        *(f"--volume={SOCKET}:{SOCKET}", "--network=bridge", "--workdir=/workspace"),
        *(image, "sleep", "infinity"),
    ).strip()
    try:
        docker("cp", f"{project.path}/.", f"{container}:/workspace")
        yield container
        networks = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
        assert list(networks) == ["bridge"]
    finally:
        docker("rm", "--force", "--volumes", container)


def run(container: str, *command: str) -> str:
    """Run a command in a container. It must exit with 0. Return its output."""
    done = subprocess.run(
        ["docker", "exec", container, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tests_join_the_network_of_the_stack(
    generate: Callable[..., Project],
) -> None:
    """Only the tools and the socket are mounted. The checkout is copied, as in a CI job."""
    project = generate(services="api")
    stack = ("uv", "run", "--script", "scripts/stack.py")
    with job_container(project, f"python:{PYTHON_VERSION}-slim") as container:
        said = run(
            *(container, *stack, "run", "full", "--"),
            *("uv", "run", "--directory=tests/integration", "pytest", "--integration"),
        )
        assert "passed" in said
        # The container is in the networks of two stacks, and each stack has its own database.
        run(container, *stack, "up")
        told = [run(container, *stack, "env", scope) for scope in ("api", "full")]
        databases = {re.findall(r"TEST_DATABASE_URL=.*@([\d.]+):5432/", text)[0] for text in told}
        assert len(databases) == 2
        run(container, *stack, "down")
    assert project.left() == NOTHING


@pytest.fixture
def job_image() -> Iterator[str]:
    """The image in which a runner starts a job."""
    image = f"e2e-job:{secrets.token_hex(3)}"
    # The classic builder, because buildx may not be installed.
    subprocess.run(
        ["docker", "build", "--quiet", "--network=host", f"--tag={image}", "-"],
        input=JOB_IMAGE, env=os.environ | {"DOCKER_BUILDKIT": "0"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    yield image
    docker("image", "rm", "--force", image)


@pytest.mark.drills
def test_all_tests_pass_in_a_job_that_is_a_container(
    generate: Callable[..., Project], job_image: str
) -> None:
    """Run the commands of a Gitea workflow on a new checkout, in the default image of a runner."""
    project = generate(services="orders:node-api", forge="gitea")
    project.commit()
    with job_container(project, job_image) as container:
        run(container, "make", "setup", "test")
    assert project.left() == NOTHING


@pytest.mark.drills
def test_all_tests_pass_in_the_development_container(generate: Callable[..., Project]) -> None:
    """The command line of the specification builds and starts it, as an editor does."""
    project = generate(layout="single")
    project.commit()
    # The user of the container, because this machine's user may be root.
    project.run("chown", "-R", "1000:1000", ".")
    label = f"label=devcontainer.local_folder={project.path}"
    command = ("npx", "--yes", "@devcontainers/cli@0.89.0")
    folder = f"--workspace-folder={project.path}"
    try:
        # The classic builder, because buildx may not be installed.
        project.run(*command, "up", folder, "--buildkit=never")
        said = project.run(*command, "exec", folder, "make", "test")
        assert re.search(r"^PASSED: \d+ tests", said, re.MULTILINE)
    finally:
        for container in docker("ps", "--all", "--quiet", f"--filter={label}").split():
            image = docker("inspect", "--format={{.Image}}", container).strip()
            docker("rm", "--force", "--volumes", container)
            docker("image", "rm", "--force", image)
    assert project.left() == NOTHING
