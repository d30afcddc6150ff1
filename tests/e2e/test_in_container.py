"""The pipeline inside a container that has only Docker's socket, as many CI systems run it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .conftest import NOTHING, PYTHON_VERSION, Project, clean_environment, docker

SOCKET = "/var/run/docker.sock"


def test_the_tests_join_the_stack_where_published_ports_do_not_answer(
    generate: Callable[..., Project],
) -> None:
    """Nothing is mounted but the tools and the socket; the checkout is copied, as a CI job's is."""
    project = generate(services="api")
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
        *(f"python:{PYTHON_VERSION}-slim", "sleep", "infinity"),
    ).strip()
    try:
        docker("cp", f"{project.path}/.", f"{container}:/workspace")
        done = subprocess.run(
            [
                *("docker", "exec", container, "uv", "run", "--script", "scripts/stack.py"),
                *("run", "full", "--", "uv", "run", "--directory=tests/integration"),
                *("pytest", "--integration"),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "passed" in done.stdout
        networks = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
        assert list(networks) == ["bridge"]
    finally:
        docker("rm", "--force", "--volumes", container)
    assert project.left() == NOTHING
