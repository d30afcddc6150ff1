"""deploy.sh of one host, with a program that replaces docker: a strange .env, shell and command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

#: Has one container for each service once something is started, and writes down its environment.
DOCKER = """\
#!/bin/sh
env >>"$FOLDER/environment"
case "$*" in
  *" config --services"*) echo app ;;
  *" up "*) : >"$FOLDER/started" ;;
  *" verify "*) exit 1 ;;
  *" ps --all --format"* | *" config --hash"*) ;;
  *" ps "*) [ ! -e "$FOLDER/started" ] || echo c1 ;;
  *State.Status*) [ ! -e "$FOLDER/started" ] || echo "c1 app /c1 running healthy 0 none" ;;
  *CpuShares*) echo "1024 c1" ;;
esac
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    "answers",
    [
        {"services": "api, worker, frontend", "cache": "redis"},
        {"layout": "single", "service_kind": "node-web"},
    ],
    ids=["everything", "only a page"],
)
@pytest.mark.parametrize("folder", ["prod", "swarm", "kubernetes"])
def test_the_help_fits_a_terminal(
    render: Callable[..., Path], folder: str, answers: dict[str, str]
) -> None:
    root = render({**answers, "orchestrator": ["compose", "swarm", "kubernetes"]})
    done = subprocess.run(
        ["sh", root / f"deploy/{folder}/deploy.sh", "--help"], capture_output=True, text=True
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert lines[0].startswith("usage: ./deploy.sh ")
    assert [line for line in lines if len(line) > 80] == []


@pytest.fixture
def host(render: Callable[..., Path], tmp_path: Path) -> Path:
    """Return the folder of a project on a host, which is called prod."""
    root = render({"layout": "single"})
    shutil.copytree(root / "deploy/prod", tmp_path / "prod")
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin/docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return tmp_path / "prod"


@pytest.fixture
def run(host: Path) -> Run:
    """Return the function that runs deploy.sh, without the end of the last line of .env."""

    def ran(
        *arguments: str, text: str = "VERSION=1.2.3", script: str = "./deploy.sh", **env: str
    ) -> subprocess.CompletedProcess[str]:
        if not (host / "secrets").exists():
            subprocess.run([host / "deploy.sh", "init"], check=True, capture_output=True)
        (host / ".env").write_bytes(text.encode())
        path = f"{host.parent / 'bin'}:{os.environ['PATH']}"
        folder = host if script.startswith("./") else host.parent
        return subprocess.run(
            [script, *arguments], cwd=folder, capture_output=True, text=True,
            env={"PATH": path, "FOLDER": str(host.parent), "WATCH": "0", "HEALTHY_TIMEOUT": "3", **env},
        )  # fmt: skip

    return ran


def test_a_deploy_over_ssh_needs_a_host_and_a_release(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    """Without a release, the files of the host stay as they are."""
    project = render({"layout": "single"})
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/called\ncat >/dev/null\n')
    ssh.chmod(0o755)
    for script in (project / "scripts").glob("*.sh"):
        script.chmod(0o755)  # The task that does this did not run.
    env = {name: value for name, value in os.environ.items() if name not in ("HOST", "VERSION")}
    env |= {"PATH": f"{tmp_path}:{env['PATH']}"}

    def make(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["make", *arguments], cwd=project, env=env, capture_output=True, text=True
        )
        return done.returncode, done.stderr

    for goal in ("deploy", "rollback"):
        code, said = make(goal, "VERSION=1.2.3")
        assert code == 2
        assert "name the host, such as HOST=user@server\n" in said
    for given in ((), ("VERSION=",)):
        code, said = make("deploy", "HOST=me@server", *given)
        assert code == 2
        assert "name the release, such as VERSION=1.2.3\n" in said
    assert not (tmp_path / "called").exists()
    assert make("rollback", "HOST=me@server") == (0, "")
    assert (tmp_path / "called").read_text().startswith("me@server cd ")


@pytest.mark.parametrize(
    "text",
    [
        "VERSION=1.2.3\r\n", "export VERSION=1.2.3\n", "VERSION='1.2.3' # since May\n", "VERSION=1.2.3  ",
    ],
)  # fmt: skip
def test_a_setting_is_read_as_compose_reads_it(run: Run, text: str) -> None:
    assert "release 1.2.3, before it none" in run("status", text=text).stdout


@pytest.mark.parametrize("value", ["5m", "90\r", "ninety", "-1", "1 2"])
def test_a_setting_that_is_not_a_number_is_refused(run: Run, host: Path, value: str) -> None:
    """Otherwise the watch would end at once, with an error of the shell."""
    done = run("deploy", "1.2.4", WATCH=value)
    assert done.returncode == 2
    assert "WATCH must be a whole number" in done.stderr
    assert not (host.parent / "started").exists()


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("APP_PORT=1", "APP_PORT=1\nVERSION=1.2.4\n"),
        ("export VERSION=1.2.3\nAPP_PORT=1\n", "VERSION=1.2.4\nAPP_PORT=1\n"),
        ("VERSION=1.2.3\r\nAPP_PORT=1\r\n", "VERSION=1.2.4\nAPP_PORT=1\r\n"),
    ],
)
def test_the_release_is_written_to_a_line_of_its_own(
    run: Run, host: Path, text: str, after: str
) -> None:
    done = run("deploy", "1.2.4", text=text)
    assert done.returncode == 0, done.stderr
    assert (host / ".env").read_bytes() == after.encode()


def test_variables_of_compose_do_not_choose_another_project(run: Run, host: Path) -> None:
    given = {
        "COMPOSE_FILE": "/x.yml", "COMPOSE_PROJECT_NAME": "x", "COMPOSE_PROFILES": "x",
        "COMPOSE_ENV_FILES": "/x", "COMPOSE_DISABLE_ENV_FILE": "1", "VERSION": "6.6.6",
    }  # fmt: skip
    run("status", **given)
    seen = (host.parent / "environment").read_text().splitlines()
    assert seen
    assert not {f"{name}={value}" for name, value in given.items()} & set(seen)


def test_cdpath_does_not_choose_another_folder(run: Run, host: Path) -> None:
    shutil.copytree(host, host.parent / "other/prod")
    done = run("status", script="prod/deploy.sh", CDPATH=str(host.parent / "other"))
    assert "release 1.2.3" in done.stdout


def test_a_broken_backup_changes_nothing(run: Run, host: Path) -> None:
    done = run("restore", "2030-01-01", "--replace")
    assert (done.returncode, done.stderr) == (2, "deploy.sh: the backup cannot be restored\n")
    assert not (host.parent / "started").exists()


@pytest.mark.parametrize("name", ["postgres_password app_database_password", "", "*", "../.env"])
def test_what_is_not_one_secret_is_not_rotated(run: Run, host: Path, name: str) -> None:
    done = run("rotate", name)
    assert done.returncode == 2
    assert f"'{name}' is not a secret; choose from: " in done.stderr
    assert not (host / ".state/rotate").exists()
