"""scripts/stack.py with real stacks.

Each test uses its own project slug, so that the tests can run in parallel. After the test, all
resources with that slug are removed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.projects import REDIS, SLOW, Stacks, docker, stacks_of

Render = Callable[[Mapping[str, Any]], Path]


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Iterator[Stacks]:
    rendered = render({"project_slug": "shop", "services": "api:custom, core:custom"})
    with stacks_of(rendered, tmp_path) as made:
        yield made


#: Never becomes healthy, and writes the reason to its log.
SICK = """
    sick:
      image: redis:8-alpine
      labels: *labels
      init: true
      command: [sh, -c, "echo no disk left; exec sleep 1000"]
      healthcheck: {test: echo no answer; false, interval: 200ms, retries: 1}
"""

PING = """
import os, socket
from urllib.parse import urlsplit
url = urlsplit(os.environ["TEST_CACHE_URL"])
with socket.create_connection((url.hostname, url.port), 5) as connection:
    connection.sendall(b"PING\\r\\n")
    print(connection.recv(7).decode().strip(), os.environ["TEST_INSTANCE_ID"], os.getcwd())
"""


def test_run_gives_a_command_the_stack_and_removes_it(project: Stacks) -> None:
    project.stack("api", REDIS)
    done = project.call("run", "api", "--", sys.executable, "-c", PING)
    assert done.stdout == f"+PONG main-000001 {project.root}\n", done.stderr
    assert done.returncode == 0
    assert done.stderr == ""
    assert project.left() == {}


def test_run_returns_the_exit_code_of_the_command(project: Stacks) -> None:
    project.stack("api", REDIS)
    assert project.call("run", "api", "--", "sh", "-c", "exit 42").returncode == 42
    assert project.left() == {}
    assert project.call("run", "api", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert project.left() == {}
    missing = project.call("run", "api", "--", "no-such-command")
    assert missing.returncode == 127
    assert missing.stderr == "no-such-command: No such file or directory\n"
    assert project.left() == {}


def test_up_env_and_down(project: Stacks) -> None:
    project.stack("api", REDIS)
    up = project.call("up", "api")
    assert re.fullmatch(r"# api\nexport TEST_CACHE_URL=redis://127\.0\.0\.1:\d+/0\n", up.stdout)
    assert project.call("env", "api").stdout == up.stdout.removeprefix("# api\n")
    assert project.left()["containers"] == [f"{project.slug}-test-main-000001-api-cache-1"]
    down = project.call("down", "api")
    assert (down.returncode, down.stdout, down.stderr) == (0, "removed the stack of api\n", "")
    assert project.left() == {}
    again = project.call("down", "api")
    assert (again.returncode, again.stderr) == (0, "")
    env = project.call("env", "api")
    assert (env.returncode, env.stdout) == (3, "")
    assert "is not running: start it with stack.py up api" in env.stderr


def test_down_needs_no_compose_file(project: Stacks) -> None:
    folder = project.stack("api", REDIS)
    project.call("up", "api")
    shutil.rmtree(folder)
    assert project.call("down", "api").returncode == 0
    assert project.left() == {}


def test_volumes_and_built_images_are_removed(project: Stacks) -> None:
    folder = project.stack(
        "api",
        """
        api:
          build: {context: ., labels: *image-labels}
          image: SLUG-test-${TEST_INSTANCE_ID}/api
          labels: *labels
          volumes: ["data:/data", "/anonymous"]
        """,
    )
    with (folder / "docker-compose.yml").open("a") as file:
        file.write("volumes: {data: {}}\n")
    (folder / "Dockerfile").write_text("FROM redis:8-alpine\nENV X=1\n")
    label = f"test.project={project.slug}"
    before = docker("volume", "ls", "--quiet").split()
    assert project.call("up", "api").returncode == 0
    left = project.left()
    assert left.keys() == {"containers", "networks", "volumes", "images"}
    anonymous = json.loads(docker("inspect", left["containers"][0]))[0]["Mounts"]
    assert len(anonymous) == 2
    # A rebuild leaves the old image without a name.
    (folder / "Dockerfile").write_text("FROM redis:8-alpine\nENV X=2\n")
    assert project.call("up", "api").returncode == 0
    assert project.left()["images"] == [f"{project.slug}-test-main-000001/api"]
    assert len(docker("image", "ls", "--quiet", f"--filter=label={label}").split()) == 1
    assert project.call("clean").returncode == 0
    assert project.left() == {}
    after = docker("volume", "ls", "--quiet").split()
    assert not {mount["Name"] for mount in anonymous} & set(after) - set(before)
    assert docker("image", "ls", "--quiet", f"--filter=label={label}") == ""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["clean"], "removed the stack of api\n"),
        (["clean-all", "--yes"], "removed stacks: 1, images: 0\n"),
    ],
    ids=["clean", "clean-all"],
)
def test_an_override_file_is_used_and_its_containers_are_removed(
    project: Stacks, command: list[str], says: str
) -> None:
    folder = project.stack("api", REDIS)
    (folder / "docker-compose.override.yml").write_text(
        "services: {mail: {image: 'redis:8-alpine', volumes: ['letters:/letters']}}\n"
        "volumes: {letters: {}}\nnetworks: {extra: {}}\n"
    )
    project.call("up", "api")
    left = project.left()
    assert f"{project.slug}-test-main-000001-api-mail-1" in left["containers"]
    assert left["volumes"] == [f"{project.slug}-test-main-000001-api_letters"]
    assert project.call(*command).stdout.endswith(says)
    assert project.left() == {}


def test_a_kept_stack_that_no_longer_exists_is_not_kept_when_started_again(project: Stacks) -> None:
    project.stack("api", REDIS)
    assert project.call("up", "api").returncode == 0
    assert project.call("clean-all", "--yes").returncode == 0
    assert project.call("run", "api", "--", "true").returncode == 0
    assert project.left() == {}


def test_a_scope_named_images(project: Stacks) -> None:
    project.stack("images", REDIS)
    assert project.call("run", "images", "--", "true").returncode == 0
    assert project.left() == {}


def test_images_of_a_stack_that_failed_to_start_are_removed(project: Stacks) -> None:
    sick = """
        api:
          build: {context: ., labels: *image-labels}
          image: SLUG-test-${TEST_INSTANCE_ID}/api
          labels: *labels
          healthcheck: {<<: *fast, test: "false", start_period: 0s}
    """
    folder = project.stack("api", sick)
    (folder / "Dockerfile").write_text("FROM redis:8-alpine\n")
    for command in (["run", "api", "--", "true"], ["up", "api"]):
        assert project.call(*command).returncode == 3
        assert project.left() == {}


def test_a_failed_start_names_the_container_and_its_log(project: Stacks) -> None:
    project.stack("api", REDIS.rstrip() + textwrap.dedent(SICK).replace("\n", "\n    "))
    done = project.call("run", "api", "--", "echo", "ran")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "the stack of api failed to start",
        "container sick is unhealthy",
        "  health check: no answer",
        "  no disk left",
        "try: `uv run --script scripts/stack.py --verbose up api` to see all output",
    ]
    assert project.left() == {}


@pytest.mark.parametrize(
    ("services", "cause", "says"),
    [
        (
            "x: {image: 'localhost:9/no/such:image', labels: *labels}",
            "the stack of api failed to start: the registry cannot be reached",
            "localhost:9",
        ),
        ("x: {imagine: 'redis'}", "the stack of api failed to build", "imagine"),
        (
            "x: {image: 'redis:8-alpine', command: 'no-such-program'}",
            "the stack of api failed to start",
            "no-such-program",
        ),
        (
            "x: {image: 'redis:8-alpine', command: 'sh -c \"echo bye; exit 7\"'}",
            "the stack of api failed to start",
            "bye",
        ),
        (
            'x: {image: mine, build: {dockerfile_inline: "FROM redis:8-alpine\\nRUN echo bye; false"}}',
            "the stack of api failed to build: an image failed to build",
            "bye",
        ),
    ],
    ids=["no registry", "no compose file", "no program", "exits", "no build"],
)
def test_causes_of_a_failed_start(project: Stacks, services: str, cause: str, says: str) -> None:
    project.stack("api", services)
    done = project.call("run", "api", "--", "echo", "ran")
    assert done.returncode == 3
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == cause
    assert says in done.stderr
    assert len(lines) <= 12
    assert project.left() == {}


def test_clean_does_not_touch_an_instance_with_a_longer_name(project: Stacks) -> None:
    project.stack("api", REDIS)
    for instance in ("main", "main-2", "2-main", "main-2-api"):
        assert project.call("up", "api", instance=instance).returncode == 0
    cleaned = project.call("clean", instance="main")
    assert cleaned.stdout == "removed the stack of api\n"
    for instance in ("main-2", "2-main", "main-2-api"):
        assert len(project.left("api", instance)["containers"]) >= 1
    assert project.call("down", "api", instance="main-2").returncode == 0
    left = project.left()
    assert left["containers"] == [
        f"{project.slug}-test-{instance}-api-cache-1" for instance in ("main-2-api", "2-main")
    ]
    assert len(left["networks"]) == 2


def test_clean_removes_all_scopes_and_prints_them(project: Stacks) -> None:
    for scope in ("api", "core", "full"):
        project.stack(scope, REDIS)
    assert project.call("up").returncode == 0
    # The clean-up must not need the compose files.
    shutil.rmtree(project.root / "services")
    cleaned = project.call("clean")
    scopes = ("api", "core", "full")
    assert cleaned.stdout == "".join(f"removed the stack of {scope}\n" for scope in scopes)
    assert project.left() == {}
    assert project.call("clean").stdout == ""


@pytest.fixture
def stranger(project: Stacks) -> Iterator[str]:
    """Start a container and a network of another project, whose slug starts with ours."""
    name = f"{project.slug}-2-test-main-000001-api"
    labels = [f"test.project={project.slug}-2", f"com.docker.compose.project={name}"]
    options = [f"--label={label}" for label in [*labels, "test.instance=main-000001"]]
    docker("network", "create", *options, name)
    docker("run", "--detach", "--name", name, "--network", name, *options, "redis:8-alpine")
    yield name
    docker("rm", "--force", "--volumes", name)
    docker("network", "rm", name)


def test_clean_all_asks_for_confirmation(project: Stacks, stranger: str) -> None:
    project.stack("api", REDIS)
    for instance in ("main-000001", "other-000002"):
        project.call("up", "api", instance=instance)
    names = [f"{project.slug}-test-{name}-api" for name in ("main-000001", "other-000002")]

    refused = project.call("clean-all")
    assert refused.returncode == 2
    assert refused.stdout.splitlines()[1:] == [*(f"  {name}" for name in names), "  and 0 images"]
    again = "uv run --script scripts/stack.py clean-all --yes"
    assert refused.stderr == f"nothing removed: confirm on a terminal, or run: {again}\n"
    assert len(project.left()["containers"]) == 2

    for answer, code, removed in (("n", 0, False), ("", 0, False), ("y", 0, True)):
        terminal = pexpect.spawn(
            shlex.join(project.script("clean-all")),
            env=project.of(),
            encoding="utf-8",
            timeout=60,
        )
        terminal.expect_exact("Remove all of them? [y/N] ")
        terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == code
        assert (project.left() == {}) == removed
    assert docker("inspect", "--format={{.State.Status}}", stranger) == "running\n"


def test_clean_all_with_yes(project: Stacks, stranger: str) -> None:
    project.stack("api", REDIS)
    project.call("up", "api", instance="other-000002")
    done = project.call("clean-all", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        f"  {project.slug}-test-other-000002-api\n  and 0 images\nremoved stacks: 1, images: 0\n"
    )
    assert project.left() == {}
    assert docker("inspect", "--format={{.State.Status}}", stranger) == "running\n"
    nothing = project.call("clean-all")
    assert (nothing.returncode, nothing.stdout) == (
        0,
        f"nothing to remove: {project.slug} has no test stacks and no test images\n",
    )


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["SIGTERM", "SIGINT", "SIGHUP"],
)
@pytest.mark.parametrize("whom", ["the script", "the process group"])
def test_a_signal_while_the_command_runs(
    project: Stacks, tmp_path: Path, number: signal.Signals, code: int, whom: str
) -> None:
    project.stack("api", REDIS)
    mark = tmp_path / "mark"
    command = ["sh", "-c", f"echo $$ > {mark}; exec sleep 1000"]
    process = subprocess.Popen(
        project.script("run", "api", "--", *command),
        env=project.of(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: mark.exists() and mark.read_text().strip(), "the command did not start")
        if whom == "the script":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in error
    assert process.returncode == code
    assert not alive(int(mark.read_text()))
    assert project.left() == {}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=["SIGTERM", "SIGINT"],
)
def test_a_signal_while_the_stack_starts(
    project: Stacks, number: signal.Signals, code: int
) -> None:
    project.stack("api", SLOW)
    process = subprocess.Popen(
        project.script("run", "api", "--", "echo", "ran"),
        env=project.of(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: project.left().get("containers"), "nothing was started")
        # A terminal sends Ctrl-C to all processes; a CI system signals only the first one.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in error
    assert output == ""
    assert process.returncode == code
    # Nothing is created later: Compose had ended before the removal began.
    assert project.left() == {}


def test_clean_removes_what_a_killed_run_left_behind(project: Stacks, tmp_path: Path) -> None:
    project.stack("api", REDIS)
    mark = tmp_path / "mark"
    process = subprocess.Popen(
        project.script("run", "api", "--", "sh", "-c", f"touch {mark}; exec sleep 1000"),
        env=project.of(),
        start_new_session=True,
    )
    wait_for(mark.exists, "the command did not start")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "containers" in project.left()
    assert project.call("clean").returncode == 0
    assert project.left() == {}


def test_a_container_of_the_user_that_ends_with_0(project: Stacks) -> None:
    folder = project.stack("api", REDIS)
    (folder / "docker-compose.override.yml").write_text(
        'services:\n  seed: {image: "redis:8-alpine", command: "true"}\n'
    )
    done = project.call("run", "api", "--", "echo", "passed")
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    # The override's container has no label of ours, but belongs to the stack.
    assert project.left() == {}


def test_verbose_shows_the_output_of_compose(project: Stacks) -> None:
    project.stack("api", REDIS)
    done = project.call("--verbose", "run", "api", "--", "true")
    assert done.returncode == 0
    assert "cache-1" in done.stderr
