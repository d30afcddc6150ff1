"""A user's environment: variables, umasks, limits and shells that people have.

In each of them, `make setup`, `make test`, `make dev` and `make template-check` pass.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import (
    NOTHING,
    PYTHON_VERSION,
    Project,
    clean_environment,
    remove,
    sh,
    template_repository,
)
from .test_environments import free_ports

COMMANDS = ("setup", "test", "dev", "dev-down", "template-check")


@dataclass(frozen=True)
class Environment:
    """How a user's shell differs from that of the other tests."""

    variables: dict[str, str] = field(default_factory=dict)
    before: str = ""  # shell commands that run first, in the same shell


def variables(**values: str) -> Environment:
    """Return an environment with more variables."""
    return Environment(values)


#: FOLDER is an empty folder, but for `home` and `tmp folder`.
ENVIRONMENTS = {
    "CDPATH": variables(CDPATH="/:/tmp"),
    "PYTHONSAFEPATH": variables(PYTHONSAFEPATH="1"),
    "PYTHONDONTWRITEBYTECODE": variables(PYTHONDONTWRITEBYTECODE="1"),
    "PYTHONOPTIMIZE": variables(PYTHONOPTIMIZE="1"),
    "PYTHONWARNINGS": variables(PYTHONWARNINGS="always"),
    "PYTHONUTF8 off": variables(PYTHONUTF8="0", LC_ALL="C"),
    "PYTHONPATH": variables(PYTHONPATH="FOLDER"),
    "VIRTUAL_ENV": variables(VIRTUAL_ENV="FOLDER"),
    "UV_PROJECT_ENVIRONMENT": variables(UV_PROJECT_ENVIRONMENT="FOLDER/venv"),
    "UV_FROZEN": variables(UV_FROZEN="1"),
    "UV_NO_SYNC": variables(UV_NO_SYNC="1"),
    "NODE_ENV": variables(NODE_ENV="production"),
    "GIT_DIR": variables(GIT_DIR="FOLDER", GIT_WORK_TREE="FOLDER"),
    "GIT_INDEX_FILE": variables(GIT_INDEX_FILE="FOLDER/index"),
    "NAME": variables(NAME="laptop"),
    "HOST": variables(HOST="laptop", HOSTNAME="laptop"),
    "VERSION": variables(VERSION="9.9.9"),
    "COMPOSE_FILE": variables(COMPOSE_FILE="other.yml"),
    "COMPOSE_ENV_FILES": variables(COMPOSE_ENV_FILES="FOLDER/no.env"),
    "COMPOSE_PROJECT_NAME": variables(COMPOSE_PROJECT_NAME="other"),
    "COMPOSE_PROFILES": variables(COMPOSE_PROFILES="debug"),
    "COMPOSE_REMOVE_ORPHANS": variables(COMPOSE_REMOVE_ORPHANS="1"),
    "COMPOSE_ANSI": variables(COMPOSE_ANSI="always", COMPOSE_PROGRESS="json"),
    "DOCKER_BUILDKIT": variables(DOCKER_BUILDKIT="1", BUILDKIT_PROGRESS="tty"),
    "MAKEFLAGS -j8": variables(MAKEFLAGS="-j8"),
    "MAKEFLAGS -k": variables(MAKEFLAGS="-k --warn-undefined-variables"),
    "SHELL": variables(SHELL="/bin/dash", BASH_ENV="FOLDER/none", ENV="FOLDER/none"),
    "POSIXLY_CORRECT": variables(POSIXLY_CORRECT="1"),
    "locale C": variables(LC_ALL="C", LANG="C"),
    "locale that is not installed": variables(LC_ALL="tr_TR.UTF-8", LANG="tr_TR.UTF-8"),
    "time zone": variables(TZ="Asia/Kathmandu"),
    "TERM": variables(TERM="dumb", NO_COLOR="1", COLUMNS="20"),
    "FORCE_COLOR": variables(FORCE_COLOR="1", CLICOLOR_FORCE="1"),
    "CI": variables(CI="true"),
    "PYTEST_ADDOPTS": variables(PYTEST_ADDOPTS="-q"),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": variables(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
    "TMPDIR with a space": variables(TMPDIR="FOLDER/tmp folder"),
    "TMPDIR that does not exist": variables(TMPDIR="FOLDER/missing"),
    "caches elsewhere": variables(XDG_CACHE_HOME="FOLDER/cache", XDG_STATE_HOME="FOLDER/state"),
    "HOME that is empty": variables(HOME="FOLDER/home"),
    "proxy": variables(http_proxy="http://127.0.0.1:9", no_proxy="*"),
    "umask 077": Environment(before="umask 077"),
    "umask 000": Environment(before="umask 000"),
    "few open files": Environment(before="ulimit -n 256"),
    "no input": Environment(before="exec <&-"),
    "background": Environment(before="set -m; trap '' HUP TTOU TTIN"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose template is a repository. Its path has a space and an accent."""
    folder = tmp_path_factory.mktemp("my prôject")
    template = template_repository(folder / "template")
    slug = f"e2e-{secrets.token_hex(3)}"
    data = {
        "project_slug": slug, "services": "api", "database": "none",
        "python_version": PYTHON_VERSION,
    }  # fmt: skip
    done = sh(
        *(sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"),
        *(f"--data={key}={value}" for key, value in data.items()),
        *(str(template), str(folder / slug)),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout
    project = Project(folder / slug, slug)
    project.make("setup")
    project.commit()
    with (project.path / "deploy/dev/.env").open("a") as file:
        file.write(f"API_PORT={free_ports(1)[0]}\n")
    yield project
    for label in (f"test.project={slug}", f"com.docker.compose.project={slug}-dev"):
        remove(label)


@pytest.mark.drills
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_commands_of_a_project_pass(project: Project, tmp_path: Path, name: str) -> None:
    environment = ENVIRONMENTS[name]
    for folder in ("home", "tmp folder"):
        (tmp_path / folder).mkdir()
    env = {
        key: value.replace("FOLDER", str(tmp_path)) for key, value in environment.variables.items()
    }
    # clean_environment() removes variables that such a user has.
    env = clean_environment() | {"PATH": os.environ["PATH"]} | env
    for command in COMMANDS:
        script = "; ".join(filter(None, [environment.before, f"exec make {shlex.quote(command)}"]))
        done = subprocess.run(
            ["bash", "-c", script], cwd=project.path, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"make {command}:\n{done.stdout}"
    assert project.left() == NOTHING
    # Nothing was written outside the ignored paths, and git commands used this repository.
    assert project.run("git", "status", "--porcelain") == ""
