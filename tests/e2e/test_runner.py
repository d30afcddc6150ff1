"""The runner on a real engine, with small stacks: interruptions and broken dependencies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.projects import REDIS, SLOW, Stacks, docker, processes_of, stacks_of, wait_until

Render = Callable[..., Path]

#: The database of the template, for tests that break it.
DATABASE = """
    database:
      image: postgres:18-alpine
      labels: {<<: *labels, test.url: "TEST_DATABASE_URL=postgresql://postgres:x@HOST:5432/postgres"}
      environment: {POSTGRES_PASSWORD: x}
      ports: ["127.0.0.1::5432"]
      tmpfs: [/var/lib/postgresql]
      healthcheck:
        <<: *fast
        test: [CMD, pg_isready, --host=127.0.0.1, --username=postgres]
"""

#: A built image and a cache.
BUILT = (
    REDIS
    + """
    own:
      build: {context: ../../../../image, labels: *image-labels}
      image: SLUG-test-${TEST_INSTANCE_ID}/own
      labels: *labels
      command: [sleep, infinity]
      init: true
"""
)

#: The script of a target. It may wait, and it writes a file at its start and at its end.
RECIPE = """
    touch {root}/there-{stage}
    if [ "$HOLD" = {stage} ]; then sleep 300; fi
    touch {root}/done-{stage}
"""


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Iterator[Stacks]:
    """An api with unit tests, its own stack and the full stack. All tests pass at once."""
    rendered = render({"project_slug": "shop", "services": "api:custom, core:custom"})
    with stacks_of(rendered, tmp_path) as made:
        recipes = {stage: RECIPE.format(root=made.root, stage=stage) for stage in STAGES}
        made.makefile("services/api", test_unit=recipes["unit"], test_service=recipes["service"])
        made.makefile(".", test_against_stack=recipes["integration"])
        made.write(
            "image/Dockerfile", "FROM redis:8-alpine\nRUN cat /proc/sys/kernel/random/uuid > /id\n"
        )
        made.stack("api", BUILT)
        made.stack("full", BUILT.replace("../../../../image", "../../image"))
        made.write("tests/integration/test_nothing.py", "")
        yield made


STAGES = ("unit", "service", "integration")


@pytest.fixture
def temporary(project: Stacks) -> Path:
    """The folder for the temporary files of a run."""
    folder = project.root / "tmp"
    folder.mkdir()
    return folder


def check_nothing_is_left(project: Stacks, temporary: Path) -> None:
    assert project.left() == {}
    assert processes_of(project) == []
    # uv, pytest and Compose clean up their own files. A file of the runner would be a leak.
    assert list(temporary.iterdir()) == []
    assert [p for p in (project.root / ".test-results/locks").iterdir() if p.stat().st_size] == []


def at(project: Stacks, stage: str, moment: str) -> tuple[dict[str, str], Callable[[], object]]:
    """Prepare an interruption in a stage: return the run's options and a check for the right moment."""
    scope = "full" if stage == "integration" else "api"
    if moment == "while its stack starts":
        project.stack(scope, SLOW)
        hold = "unit" if stage == "unit" else ""
        before = STAGES[max(0, STAGES.index(stage) - 1)]
        return (
            {"HOLD": hold},
            lambda: (
                project.has(f"{'there' if stage == 'unit' else 'done'}-{before}")
                and project.left(scope, "main-000001").get("containers")
            ),
        )
    if moment == "while its tests run":
        return {"HOLD": stage}, lambda: project.has(f"there-{stage}")
    # The unit stage is visible at its start, the other stages by the removal of their stacks.
    if stage == "unit":
        return {}, lambda: project.has(".test-results/latest")
    return {}, lambda: project.has(f"done-{stage}")


SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
MOMENTS = ("while its stack starts", "while its tests run", "at its edge")


def interruptions() -> Iterator[ParameterSet]:
    """Yield each stage, moment and signal. The default run has each pair of them once."""
    for (i, stage), (j, moment), (k, number) in product(
        enumerate(STAGES), enumerate(MOMENTS), enumerate(SIGNALS)
    ):
        marks = () if (i + j + k) % 3 == 0 else pytest.mark.drills
        yield pytest.param(stage, moment, number, marks=marks)


@pytest.mark.parametrize(("stage", "moment", "number"), [*interruptions()])
def test_a_signal_leaves_nothing_behind(
    project: Stacks, temporary: Path, stage: str, moment: str, number: str
) -> None:
    env, come = at(project, stage, moment)
    env |= {"TMPDIR": str(temporary), "TEST_INSTANCE_ID": "main-000001"}
    runner = project.start(**env)
    wait_until(come, 60)
    runner.send_signal(signal.Signals[number])
    output, _ = runner.communicate(timeout=60)
    if number == "SIGKILL":
        assert runner.returncode == -signal.SIGKILL
        # Any next run removes the rest.
        project.run("--stage", "unit", TEST_INSTANCE_ID="main-000001")
    else:
        assert runner.returncode == 128 + signal.Signals[number], output
        assert re.fullmatch(rf"INTERRUPTED by {number} \(\d+\.\ds\)", output.splitlines()[-1])
        assert project.summary["exit"] == 128 + signal.Signals[number]
    check_nothing_is_left(project, temporary)


def test_a_green_run_builds_an_image_once_and_leaves_nothing_behind(
    project: Stacks, temporary: Path
) -> None:
    see = "docker exec $(docker ps -q --filter label=com.docker.compose.project={}) cat /id > {}"
    for target, scope in (("test_service", "api"), ("test_against_stack", "full")):
        name = f"{project.slug}-test-main-000001-{scope}"
        label = f"{name} --filter label=com.docker.compose.service=own"
        recipe = see.format(label, project.root / f"id-{scope}")
        folder = "services/api" if scope == "api" else "."
        more = {"test_unit": "true"} if scope == "api" else {}
        project.makefile(folder, **{target: recipe}, **more)
    done = project.run(TMPDIR=str(temporary), TEST_INSTANCE_ID="main-000001")
    assert done.returncode == 0, done.stdout
    ids = {(project.root / f"id-{scope}").read_text() for scope in ("api", "full")}
    assert len(ids) == 1, "the full stack got an image of its own"
    assert ids != {""}
    check_nothing_is_left(project, temporary)


def test_stacks_start_while_the_stage_before_runs_but_not_sooner(
    project: Stacks, temporary: Path
) -> None:
    find = f"docker ps --all --quiet --filter label=test.project={project.slug}"
    wait = f'until [ "$({find} --filter label=test.scope={{}} | wc -l)" = 2 ]; do sleep 0.1; done'
    found = project.root / "full-during-unit"
    project.makefile(
        "services/api",
        test_unit=f"{wait.format('api')}\nsleep 1; {find} --filter label=test.scope=full > {found}",
        test_service=wait.format("full"),
    )
    done = project.run("--timeout=60", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout
    assert found.read_text() == ""
    check_nothing_is_left(project, temporary)


def test_without_service_tests_the_whole_stack_starts_during_the_unit_tests(
    project: Stacks, temporary: Path
) -> None:
    found = f"docker ps --quiet --filter label=test.project={project.slug} | wc -l"
    project.makefile("services/api", test_unit=f'until [ "$({found})" = 2 ]; do sleep 0.1; done')
    stages = ("--stage", "unit", "--stage", "integration")
    done = project.run(*stages, "--timeout=60", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout
    check_nothing_is_left(project, temporary)


def test_a_failing_unit_test_cancels_the_stacks_that_were_started(
    project: Stacks, temporary: Path
) -> None:
    project.stack("api", SLOW)
    # The test fails as soon as there is something to remove.
    wait = f'until [ -n "$(docker ps -q --filter label=test.project={project.slug})" ]; do sleep 0.1; done'
    project.makefile("services/api", test_unit=f"{wait}\nexit 1", test_service="exit 7")
    done = project.run(TMPDIR=str(temporary))
    assert done.returncode == 1
    assert "○ Service Tests not run" in done.stdout
    check_nothing_is_left(project, temporary)


# BROKEN DEPENDENCIES ----------------------------------------------------------
KILL = "docker kill $(docker ps -q --filter label=test.project={slug} --filter label={label}) >&2"


@pytest.mark.parametrize("stage", ["service", "integration"])
def test_a_database_that_dies_is_named(project: Stacks, temporary: Path, stage: str) -> None:
    scope = "api" if stage == "service" else "full"
    project.stack(scope, DATABASE)
    recipe = (
        KILL.format(slug=project.slug, label="com.docker.compose.service=database")
        + "\necho 'connection refused: the database'; exit 1"
    )
    if stage == "service":
        project.makefile("services/api", test_unit="true", test_service=recipe)
    else:
        project.makefile(".", test_against_stack=recipe)
    done = project.run(TMPDIR=str(temporary))
    assert done.returncode == 3, done.stdout
    assert f"the stack of {scope} failed during its tests" in done.stdout
    assert "    container database exited with 137" in done.stdout.splitlines()
    assert re.match(rf"NO STACK: {stage} ", done.stdout.splitlines()[-1])
    assert len(done.stdout.splitlines()) <= 25
    check_nothing_is_left(project, temporary)


def test_a_database_that_dies_ends_a_test_that_waits_for_it(
    project: Stacks, temporary: Path
) -> None:
    project.stack("api", DATABASE)
    kill = KILL.format(slug=project.slug, label="com.docker.compose.service=database")
    pytest_ = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {sys.executable} -m pytest -q"
    project.makefile("services/api", test_unit="true", test_service=f"{pytest_} tests")
    project.write(
        "services/api/tests/test_it.py",
        f"""
        import subprocess, time

        def test_waits():
            subprocess.run({kill!r}, shell=True, check=True)
            time.sleep(300)
        """,
    )
    began = time.monotonic()
    done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert time.monotonic() - began < 60, done.stdout
    assert done.returncode == 3, done.stdout
    assert "  ✗ api no stack: the stack of api failed during its tests 0/1" in done.stdout
    lines = done.stdout.splitlines()
    assert "    container database exited with 137" in lines
    assert "    while tests/test_it.py::test_waits ran" in lines
    assert project.target("service api")["seconds"] < 15
    check_nothing_is_left(project, temporary)


#: A job that is still running when the tests start.
JOBS = """
    seed: {image: "redis:8-alpine", labels: *labels, command: [sleep, "3"], init: true}
"""


def test_a_container_that_is_restarted_or_may_stop_does_not_end_the_tests(
    project: Stacks, temporary: Path
) -> None:
    may_stop = JOBS.replace("seed", "other").replace(
        "labels: *labels", 'labels: {<<: *labels, test.may-stop: "true"}'
    )
    project.stack("api", REDIS + JOBS + may_stop.replace('"3"', "infinity"))
    find = f"docker ps -aq --filter label=test.project={project.slug} --filter label=com.docker.compose.service="
    recipe = f"docker restart $({find}cache)\ndocker kill $({find}other)\nsleep 7\ndocker ps"
    project.makefile("services/api", test_unit="true", test_service=recipe)
    done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout
    recipe = recipe.replace("docker restart", "docker stop")
    project.makefile("services/api", test_unit="true", test_service=recipe)
    done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert done.returncode == 3, "a server that ends with 0 is dead too"
    assert "    container cache exited with 0" in done.stdout.splitlines()
    project.stack("api", REDIS + JOBS.replace('[sleep, "3"]', "sh -c 'sleep 3; exit 4'"))
    project.makefile("services/api", test_unit="true", test_service="sleep 60")
    done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert "    container seed exited with 4" in done.stdout.splitlines()
    check_nothing_is_left(project, temporary)


def test_a_container_that_dies_before_the_tests_start(project: Stacks, temporary: Path) -> None:
    project.stack("api", REDIS)
    find = f"$(docker ps -q --filter label=test.project={project.slug} --filter health=healthy)"
    wait = f'until [ -n "{find}" ]; do sleep 0.1; done\nsleep 1\ndocker kill {find}\nsleep 6'
    project.makefile("services/api", test_unit=wait, test_service="touch ../../ran")
    done = project.run("--service", "api", TMPDIR=str(temporary))
    assert done.returncode == 3, done.stdout
    assert "✗ service api: the stack of api failed before its tests" in done.stdout.splitlines()
    assert "    container cache exited with 137" in done.stdout.splitlines()
    assert not project.has("ran")
    check_nothing_is_left(project, temporary)


def test_a_full_tmpfs_is_named(project: Stacks, temporary: Path) -> None:
    project.stack(
        "api", DATABASE.replace("[/var/lib/postgresql]", "['/var/lib/postgresql:size=90m']")
    )
    fill = (
        f"id=$(docker ps -q --filter label=test.project={project.slug} "
        f"--filter label=com.docker.compose.project={project.slug}-test-main-000001-api)\n"
        "docker exec --user postgres $id psql --quiet --command "
        "'CREATE TABLE t AS SELECT repeat(md5(i::text), 50) FROM generate_series(1, 1000000) i'"
    )
    project.makefile("services/api", test_unit="true", test_service=fill)
    done = project.run("--stage", "service", TMPDIR=str(temporary), TEST_INSTANCE_ID="main-000001")
    assert done.returncode != 0
    assert "No space left on device" in done.stdout, done.stdout
    check_nothing_is_left(project, temporary)


def test_a_taken_port_is_named(project: Stacks, temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.stack("api", REDIS.replace("127.0.0.1::6379", f"127.0.0.1:{port}:6379"))
        done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert done.returncode == 3
    assert (
        "✗ service api: the stack of api failed to start: a port is already in use" in done.stdout
    )
    assert str(port) in done.stdout
    assert 'try: publish it as "127.0.0.1::PORT"' in done.stdout
    check_nothing_is_left(project, temporary)


def test_an_image_that_is_missing_is_named(project: Stacks, temporary: Path) -> None:
    project.stack("api", "x: {image: 'localhost:9/no/such:image', labels: *labels}")
    done = project.run("--stage", "service", TMPDIR=str(temporary))
    assert done.returncode == 3
    assert "the stack of api failed to start: the registry cannot be reached" in done.stdout
    check_nothing_is_left(project, temporary)


def test_the_time_limit_of_a_run_during_the_start_of_a_stack(
    project: Stacks, temporary: Path
) -> None:
    project.stack("api", SLOW)
    done = project.run("--run-timeout", "4", TMPDIR=str(temporary))
    assert done.returncode == 4, done.stdout
    assert re.match(r"TIMED OUT: the run \(", done.stdout.splitlines()[-1])
    assert project.target("service api")["state"] == "not run"
    check_nothing_is_left(project, temporary)


# KEPT STACKS ------------------------------------------------------------------
def containers(project: Stacks, scope: str) -> dict[str, str]:
    """Return the ids of the containers in the stack of a scope, by service."""
    label = f"label=com.docker.compose.project={project.slug}-test-main-000001-{scope}"
    form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    lines = docker("ps", "--filter", label, "--format", form).splitlines()
    return dict(line.split() for line in lines)


def test_warm_stacks_are_used_and_only_changed_containers_are_replaced(
    project: Stacks, temporary: Path
) -> None:
    assert project.call("up").returncode == 0
    before = {scope: containers(project, scope) for scope in ("api", "full")}
    assert [sorted(found) for found in before.values()] == [["cache", "own"]] * 2

    env = {"TMPDIR": str(temporary), "TEST_INSTANCE_ID": "main-000001"}
    assert project.run(**env).returncode == 0
    assert {scope: containers(project, scope) for scope in ("api", "full")} == before
    assert project.call("run", "api", "--", "true").returncode == 0
    assert containers(project, "api") == before["api"]

    project.write("image/Dockerfile", "FROM redis:8-alpine\nENV NEW=1\n")
    assert project.run(**env).returncode == 0
    for scope, found in before.items():
        now = containers(project, scope)
        assert now["cache"] == found["cache"]
        assert now["own"] != found["own"]

    # A failed build does not change the stacks.
    now = containers(project, "api")
    project.write("image/Dockerfile", "FROM redis:8-alpine\nRUN false\n")
    assert project.run(**env).returncode == 3
    assert containers(project, "api") == now

    # After a kill in the middle of a run, the stacks are still warm.
    project.write("image/Dockerfile", "FROM redis:8-alpine\nENV NEW=1\n")
    runner = project.start(**env, HOLD="service")
    project.wait_for("there-service", 60)
    runner.kill()
    runner.communicate()
    assert project.run(**env).returncode == 0
    assert containers(project, "api") == now

    assert project.call("down", "api").returncode == 0
    assert containers(project, "api") == {}
    assert containers(project, "full")
    assert project.call("down").returncode == 0
    check_nothing_is_left(project, temporary)


#: Two containers that run once: they count their runs in the cache.
COUNTED = (
    BUILT
    + """
    counts:
      image: redis:8-alpine
      labels: *labels
      command: [redis-cli, -h, cache, incr, counts]
      depends_on: {cache: {condition: service_healthy}}
    counts-own:
      image: redis:8-alpine
      labels: *labels
      command: [redis-cli, -h, cache, incr, counts-own]
      depends_on: {cache: {condition: service_healthy}, own: {condition: service_started}}
"""
)


def test_in_a_warm_stack_only_what_depends_on_a_change_runs_once_more(
    project: Stacks, temporary: Path
) -> None:
    def up() -> list[str]:
        done = project.call("up", "api")
        assert done.returncode == 0, done.stderr
        cache = containers(project, "api")["cache"]
        return docker("exec", cache, "redis-cli", "mget", "counts", "counts-own").split()

    project.stack("api", COUNTED)
    assert up() == ["1", "1"]
    cache = containers(project, "api")["cache"]
    project.write("image/Dockerfile", "FROM redis:8-alpine\nENV NEW=1\n")
    assert up() == ["1", "2"]
    assert containers(project, "api")["cache"] == cache

    # A new cache has no data, so both must run again.
    project.stack("api", COUNTED.replace("--appendonly no", "--appendonly no --loglevel notice"))
    assert up() == ["1", "1"]
    assert containers(project, "api")["cache"] != cache

    # What uses a cache that has ended does not notice that it starts again. Redis then exits with 0.
    before = containers(project, "api")
    docker("stop", before["cache"])
    assert up() == ["1", "1"]
    assert not {*before.values()} & {*containers(project, "api").values()}
    assert up() == ["1", "1"], "the new stack stays too"
    assert project.call("down").returncode == 0
    check_nothing_is_left(project, temporary)


def test_a_cached_run_starts_no_container(project: Stacks, temporary: Path) -> None:
    project.makefile("services/api", test_unit="true", test_service="true")
    project.makefile(".", test_against_stack="true")
    env = {
        "TMPDIR": str(temporary),
        "TEST_INSTANCE_ID": "main-000001",
        "TEST_RESULT_CACHE": str(project.root.parent / "cache"),
    }
    titles = ("unit api", "service api", "integration full")

    def said(*options: str) -> list[str]:
        done = project.run(*options, **env)
        assert done.returncode == 0, done.stdout
        return [str(project.target(title)["cache"]) for title in titles]

    assert said() == ["stored"] * 3
    time.sleep(1)  # The engine's events have whole seconds here.
    since = str(int(time.time()))
    done = project.run(**env)
    assert [project.target(title)["state"] for title in titles] == ["cached"] * 3
    assert len(done.stdout.splitlines()) <= 5, done.stdout
    label = f"label=test.project={project.slug}"
    until = str(int(time.time()) + 1)
    assert docker("events", f"--since={since}", f"--until={until}", f"--filter={label}") == ""

    folder = project.root / "services/api/deploy/test"
    override = folder / "docker-compose.override.yml"
    override.write_text("services: {cache: {environment: {NEW: variable}}}\n")
    assert said() == ["stored"] * 3
    override.unlink()
    assert said() == ["hit"] * 3

    # A stack that was already running may hold data of an earlier run.
    assert project.call("up").returncode == 0
    warm = "not stored: its stack was already running, and may hold data"
    assert said("--fresh") == ["stored", warm, warm]
    assert project.call("down").returncode == 0
    check_nothing_is_left(project, temporary)


def test_two_runs_of_one_checkout_do_not_conflict(project: Stacks, temporary: Path) -> None:
    env = {"TMPDIR": str(temporary), "TEST_INSTANCE_ID": "main-000001"}
    first = project.start(**env, HOLD="service")
    project.wait_for("there-service", 60)
    second = project.run("--stage", "service", **env)
    assert second.returncode == 3
    assert f"the stack of api is in use by process {first.pid} (" in second.stdout
    assert f"test-runner.py), end it with `kill {first.pid}`" not in second.stdout
    assert f"wait for it, end it with `kill {first.pid}`, or set TEST_INSTANCE_ID" in second.stdout
    assert second.stdout.splitlines()[-1].startswith("STACK IN USE: service api (")
    assert project.target("service api")["state"] == "stack in use"
    beside = project.run("--stage", "service", **env | {"TEST_INSTANCE_ID": "other"})
    assert beside.returncode == 0, beside.stdout
    assert containers(project, "api")
    cleaned = project.call("clean")
    assert cleaned.returncode == 3
    assert "the stack of api is in use: not removed" in cleaned.stderr
    assert containers(project, "api")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    check_nothing_is_left(project, temporary)


# A BROKEN ENGINE --------------------------------------------------------------
#: Brings up the loopback device like `ip link set lo up`, which may not be installed.
LOOPBACK_UP = """
import fcntl, socket, struct
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
"""


class OwnEngine:
    """A second Docker engine in its own network namespace, which a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self.pid_file = folder / "docker.pid"
        self.namespace = folder / "network"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sudo = [] if os.geteuid() == 0 else ["sudo", "-n", "--preserve-env"]

    def prepare(self) -> None:
        """Start the engine and load the image that the tests use."""
        self.namespace.touch()
        unshare = ["unshare", f"--net={self.namespace}", "true"]
        subprocess.run([*self.sudo, *unshare], check=True)
        subprocess.run(self.inside(sys.executable, "-c", LOOPBACK_UP), check=True)
        self.start()
        with subprocess.Popen(["docker", "save", "redis:8-alpine"], stdout=subprocess.PIPE) as save:
            command = ["docker", f"--host={self.host}", "load", "--quiet"]
            subprocess.run(self.inside(*command), stdin=save.stdout, check=True)

    def remove(self) -> None:
        """End the engine and all its processes."""
        if self.answers():
            subprocess.run(self.inside("kill", self.pid_file.read_text().strip()), check=True)
            self.reap()
        # A killed engine leaves the network namespaces of its containers mounted.
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        ours = [place for place in reversed(mounted) if place.startswith(f"{self.folder}/")]
        subprocess.run([*self.sudo, "umount", *ours], check=True)
        subprocess.run([*self.sudo, "rm", "-rf", self.folder], check=True)

    def inside(self, *command: str) -> list[str]:
        """Return a command that runs in the engine's network namespace, where ports are published."""
        return [*self.sudo, "nsenter", f"--net={self.namespace}", *command]

    def reap(self) -> None:
        """Wait for ended child processes: until then, a dead process keeps its id."""
        while self.processes:
            self.processes.pop().wait(60)

    def start(self) -> None:
        """Start the engine, and wait until it answers."""
        self.reap()
        # The binary of the running engine. Its helpers are in the folders bin and sbin beside it.
        daemon = subprocess.run(["pgrep", "-o", "-x", "dockerd"], capture_output=True, text=True)
        program = subprocess.run(
            [*self.sudo, "readlink", f"/proc/{daemon.stdout.strip()}/exe"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        root = Path(program).parents[1]
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    self.inside(
                        *("env", f"PATH={root}/bin:{root}/sbin:{os.environ['PATH']}", program),
                        *(f"--host={self.host}", f"--data-root={self.folder}/data"),
                        *(f"--exec-root={self.folder}/exec", f"--pidfile={self.pid_file}"),
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        try:
            wait_until(self.answers, 120)
        except AssertionError:
            raise AssertionError((self.folder / "log").read_text()[-3000:]) from None

    def answers(self) -> bool:
        """Return whether the engine answers."""
        command = self.inside("docker", f"--host={self.host}", "info")
        return subprocess.run(command, capture_output=True).returncode == 0

    def docker(self, *arguments: str) -> str:
        """Run a docker command on this engine."""
        command = self.inside("docker", f"--host={self.host}", *arguments)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run(self, project: Stacks, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the tests of a project on this engine."""
        return subprocess.run(
            self.inside(*project.command),
            cwd=project.root,
            env=project.environment(**env, DOCKER_HOST=self.host),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )


@pytest.fixture
def own_engine() -> Iterator[OwnEngine]:
    # The path of a socket has at most 104 bytes, and containerd adds deep folders: tmp_path is too long.
    engine = OwnEngine(Path(tempfile.mkdtemp(prefix="engine-", dir="/tmp")))
    try:
        engine.prepare()
        yield engine
    finally:
        engine.remove()


def test_an_engine_that_stops_is_named_and_the_next_run_cleans_up(
    project: Stacks, temporary: Path, own_engine: OwnEngine
) -> None:
    project.stack("api", REDIS)
    project.stack("full", REDIS)
    stop = f"kill -9 $(cat {own_engine.pid_file}); sleep 1; echo 'connection refused'; exit 1"
    project.makefile("services/api", test_unit="true", test_service=stop)
    env = {"TMPDIR": str(temporary)}
    done = own_engine.run(project, **env)
    assert done.returncode == 3, done.stdout
    assert "Docker does not answer" in done.stdout
    assert re.search(
        r"^! cannot remove the stack of api: .*make test-clean$", done.stdout, re.MULTILINE
    )
    assert len(done.stdout.splitlines()) <= 25

    own_engine.start()
    project.makefile("services/api", test_unit="true", test_service="true")
    done = own_engine.run(project, **env)
    assert done.returncode == 0, done.stdout
    assert own_engine.docker("ps", "--all", "--quiet") == ""
    assert own_engine.docker("network", "ls", "--quiet", "--filter=label=test.project") == ""
    assert processes_of(project) == []
