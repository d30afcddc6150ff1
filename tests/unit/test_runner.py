"""The runner of the generated projects, with real processes in small real projects."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

RUNNER = Path(__file__).parents[2] / "template" / "scripts" / "test-runner.py"
ESCAPE = "\x1b"
UNCOLOURED = ("CI", "FORCE_COLOR", "NO_COLOR", "TERM", "MAKEFLAGS", "TEST_RUNNER_ROOT")


class Project:
    """A folder with the runner, Makefiles and shell scripts, and no git and no Docker."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("scripts/test-runner.py", RUNNER.read_text(encoding="utf-8"))
        self.script("check-tools.sh", 'echo "$@" > checked')
        self.script("test-service.sh", "touch service-$1")
        self.script("run-integration-tests.sh", "touch integration")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def script(self, name: str, text: str) -> None:
        self.write(f"scripts/{name}", f"#!/usr/bin/env bash\n{textwrap.dedent(text)}\n")

    def service(self, name: str, *recipe: str, stack: bool = True) -> None:
        self.makefile(f"services/{name}/Makefile", *recipe)
        if stack:
            self.write(f"services/{name}/deploy/test/docker-compose.yml", "services: {}\n")

    def makefile(self, name: str, *recipe: str) -> None:
        lines = "".join(f"\t@{line}\n" for line in recipe)
        self.write(name, f".PHONY: test-unit\ntest-unit:\n{lines}")

    def integration(self) -> None:
        (self.root / "tests" / "integration").mkdir(parents=True)

    def replace(self, old: str, new: str) -> None:
        path = self.root / "scripts" / "test-runner.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def command(self) -> list[str]:
        return [sys.executable, "scripts/test-runner.py"]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in UNCOLOURED}
        return {**kept, **more}

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.root,
            env=self.environment(**env),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def terminal(self, *arguments: str, **env: str) -> "pexpect.spawn[str]":
        return pexpect.spawn(
            self.command[0],
            [*self.command[1:], *arguments],
            cwd=str(self.root),
            env=self.environment(**{"TERM": "xterm", **env}),
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=30,
        )

    def has(self, name: str) -> bool:
        return (self.root / name).exists()

    def wait_for(self, name: str) -> None:
        wait_until(lambda: self.has(name))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def rest(child: "pexpect.spawn[str]") -> str:
    """What a program on a terminal still writes until it ends."""
    child.expect(pexpect.EOF)
    assert isinstance(child.before, str)
    return child.before


def alive(pid_file: Path) -> bool:
    """Whether the process named in a file runs (one that waits for its parent's look does not)."""
    status = Path(f"/proc/{pid_file.read_text().strip()}/status")
    try:
        return "\nState:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a project")


@pytest.fixture
def multi(project: Project) -> Project:
    """Two services and an integration stage, all green."""
    project.service("api", "touch ../../unit-api")
    project.service("worker", "touch ../../unit-worker")
    project.integration()
    return project


def test_green_runs_every_stage_and_says_so_briefly(multi: Project) -> None:
    result = multi.run()
    assert (result.returncode, result.stderr) == (0, "")
    for marker in ("unit-api", "unit-worker", "service-api", "service-worker", "integration"):
        assert multi.has(marker)
    text = re.sub(r"\d+\.\d", "0.0", result.stdout)
    stage = "  ✓ api 0.0s\n  ✓ worker 0.0s\n"
    assert sorted(text.splitlines()) == sorted(
        f"Unit Tests\n{stage}Service Tests\n{stage}"
        "Integration Tests\n  ✓ full 0.0s\nPASSED: 5 targets in 0.0s".splitlines()
    )
    assert text.splitlines()[-1] == "PASSED: 5 targets in 0.0s"
    assert sorted(path.name for path in (multi.root / ".test-results").iterdir()) == [
        "integration-full.log",
        "service-api.log",
        "service-worker.log",
        "unit-api.log",
        "unit-worker.log",
    ]


def test_red_unit_stops_before_service_but_its_neighbours_finish(multi: Project) -> None:
    multi.service("worker", "echo told; exit 3")
    multi.service("api", "sleep 0.5; touch ../../unit-api")
    result = multi.run()
    assert result.returncode == 1
    assert multi.has("unit-api")
    assert not multi.has("service-api")
    lines = result.stdout.splitlines()
    assert lines[0] == "Unit Tests"
    assert lines[1].startswith("  ✗ worker failed (exit 2) ")
    assert lines[2].startswith("  ✓ api ")
    assert lines[3:7] == [
        "Service Tests: not run",
        "Integration Tests: not run",
        "",
        "unit worker failed:",
    ]
    assert "  told" in lines
    assert lines[-3:-1] == [
        "log: .test-results/unit-worker.log",
        "rerun: make -C services/worker test-unit",
    ]
    assert lines[-1].startswith("FAILED: unit worker (")


def test_red_service_stops_before_integration(multi: Project) -> None:
    multi.script("test-service.sh", '[ "$1" != api ]')
    result = multi.run()
    assert result.returncode == 1
    assert not multi.has("integration")
    assert "rerun: scripts/test-service.sh api" in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1].startswith("FAILED: service api (")


def test_the_rerun_command_is_one_that_works(multi: Project) -> None:
    multi.service("api", "exit 1")
    line = next(x for x in multi.run().stdout.splitlines() if x.startswith("rerun: "))
    multi.service("api", "touch ../../again")
    subprocess.run(line.removeprefix("rerun: ").split(), cwd=multi.root, check=True)
    assert multi.has("again")


def test_targets_of_a_stage_run_side_by_side(project: Project) -> None:
    wait = "for i in $$(seq 100); do test -e ../{} && exit 0; sleep 0.1; done; exit 1"
    project.service("api", "touch ../api-is-here", wait.format("worker-is-here"), stack=False)
    project.service("worker", "touch ../worker-is-here", wait.format("api-is-here"), stack=False)
    assert project.run().returncode == 0


def test_only_the_last_forty_lines_are_shown_and_the_log_has_all(multi: Project) -> None:
    multi.service("api", "seq 1 5000; exit 1")
    lines = multi.run().stdout.splitlines()
    assert sum(line.startswith("  ") for line in lines) == 2 + 40
    assert "  5000" in lines
    assert "1\n2\n3\n" in (multi.root / ".test-results/unit-api.log").read_text()


def test_a_huge_line_and_bytes_that_are_no_text_stay_bounded(multi: Project) -> None:
    noise = "head -c 30000000 /dev/zero | tr '\\0' x; printf '\\377\\376'; exit 1"
    multi.service("api", noise)
    result = multi.run()
    assert result.returncode == 1
    assert len(result.stdout) < 20_000


NASTY = "tests/x.py::test_names[red] [/bold] [link=x]" + "y" * 120 + "/p.py:3"


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_output_is_literal_and_has_no_escapes_on_a_pipe(
    multi: Project, env: dict[str, str]
) -> None:
    multi.service("api", f"printf '\\033[31m%s\\033[0m\\n' '{NASTY}'; exit 1")
    result = multi.run(**env)
    assert result.returncode == 1
    assert f"  {NASTY}" in result.stdout.splitlines()
    assert ESCAPE not in result.stdout + result.stderr


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_terminal_that_asks_for_plain_lines_gets_them(
    multi: Project, env: dict[str, str]
) -> None:
    child = multi.terminal(FORCE_COLOR="1", **env)
    text = rest(child)
    assert ESCAPE not in text
    assert text.splitlines()[-1].startswith("PASSED: 5 targets")


def test_a_terminal_gets_the_live_list_and_is_restored(multi: Project) -> None:
    multi.service("api", "sleep 1")
    multi.service("worker", f"echo '{NASTY}'; exit 1")
    child = multi.terminal()
    child.expect_exact("● api 0.")
    child.expect_exact("✗ worker failed (exit 2)")
    child.expect_exact("✓ api 1.")
    child.expect_exact("full not run")
    child.expect_exact("\x1b[?25h")
    lines = rest(child).splitlines()
    child.close()
    assert f"  {NASTY}" in lines
    assert lines[-1].startswith("FAILED: unit worker (")
    assert child.exitstatus == 1


def test_the_children_see_neither_colours_nor_make_nor_a_terminal(project: Project) -> None:
    project.service("api", "env; test ! -t 0; ! read line", stack=False)
    flags = {"FORCE_COLOR": "1", "MAKEFLAGS": "-j2 --jobserver-auth=3,4", "MAKELEVEL": "1"}
    assert project.run(**flags, ARGS="-k name").returncode == 0
    log = (project.root / ".test-results/unit-api.log").read_text().splitlines()
    assert {"NO_COLOR=1", "PYTHONUNBUFFERED=1", "ARGS=-k name"} <= set(log)
    assert not [line for line in log if "FORCE_COLOR" in line or "jobserver" in line]
    assert not [line for line in log if "Entering directory" in line]


def test_verbose_streams_everything_by_its_target(multi: Project) -> None:
    multi.service("api", "seq 1 20000; printf end")
    multi.service("worker", "echo hello; exit 1")
    lines = multi.run("-v").stdout.splitlines()
    assert [x for x in lines if x.startswith("api | ")] == [
        *(f"api | {number}" for number in range(1, 20001)),
        "api | end",
    ]
    assert lines.count("worker | hello") == 1
    assert "  hello" not in lines


def test_stages_and_services_can_be_chosen(multi: Project) -> None:
    assert multi.run("--stage", "unit", "--service", "api").returncode == 0
    assert multi.has("unit-api") and not multi.has("unit-worker")
    assert not multi.has("checked"), "unit tests need no Docker"
    assert multi.run("--service", "worker").returncode == 0
    assert multi.has("service-worker") and not multi.has("service-api")
    assert not multi.has("integration")
    assert multi.run("--stage", "integration").returncode == 0
    assert multi.has("integration")
    assert (multi.root / "checked").read_text() == "docker uv\n"
    assert [p.name for p in (multi.root / ".test-results").iterdir()] == ["integration-full.log"]


def test_missing_tools_are_told_before_the_unit_tests(multi: Project) -> None:
    multi.script("check-tools.sh", "echo 'Docker is not running: start it'; exit 1")
    result = multi.run()
    assert (result.returncode, result.stdout) == (3, "Docker is not running: start it\n")
    assert not multi.has("unit-api")


def test_a_script_that_is_missing_or_cannot_run_is_a_failure(multi: Project) -> None:
    (multi.root / "scripts/test-service.sh").chmod(0o644)
    result = multi.run()
    assert result.returncode == 1
    assert "  cannot start scripts/test-service.sh: Permission denied" in result.stdout
    (multi.root / "scripts/check-tools.sh").unlink()
    result = multi.run()
    assert result.returncode == 3
    assert result.stderr == "test-runner.py: scripts/check-tools.sh: No such file or directory\n"


def test_single_layout_has_two_stages(project: Project) -> None:
    project.makefile("Makefile", "touch unit")
    project.integration()
    result = project.run()
    assert result.returncode == 0
    titles = [line for line in result.stdout.splitlines() if line.endswith("Tests")]
    assert titles == ["Unit Tests", "Integration Tests"]
    assert project.has("unit") and project.has("integration")
    result = project.run("--service", "app")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "test-runner.py: no service 'app': leave out --service (see --help)"
    ]


def test_a_service_without_tests_is_named_and_not_run(multi: Project) -> None:
    (multi.root / "services/notes").mkdir()
    (multi.root / "services/.cache").mkdir()
    multi.write("services/other/Makefile", "build:\n\ttouch built\n")
    result = multi.run("--stage", "unit")
    assert result.returncode == 0
    assert "  ○ notes skipped: no test-unit in services/notes/Makefile" in result.stdout
    assert "  ○ other skipped: no test-unit in services/other/Makefile" in result.stdout
    assert ".cache" not in result.stdout
    assert result.stdout.splitlines()[-1].startswith("PASSED: 2 targets in ")


def test_nothing_to_run_is_no_pass(project: Project) -> None:
    assert project.run("--stage", "service").returncode == 5
    (project.root / "services/notes").mkdir(parents=True)
    result = project.run()
    assert result.returncode == 5
    assert result.stdout.splitlines()[-1].startswith("NOTHING RAN: ")
    assert not project.has("checked")


def test_looking_for_the_target_runs_nothing_of_a_makefile(project: Project) -> None:
    count = "echo x >> ../../count"
    project.write(
        "services/api/Makefile",
        f"SHELL := /bin/bash\nX := $(shell {count})\ntest-%:\n\t+{count}; : $(MAKE)\n",
    )
    assert project.run("--stage", "unit").returncode == 0
    assert (project.root / "count").read_text() == "x\nx\n", "once for the real run, no more"


def test_a_broken_makefile_fails_in_sight(project: Project) -> None:
    project.write("services/api/Makefile", "test-unit: missing-file\n\ttrue\n")
    project.write("services/web/Makefile", "this is no Makefile\n")
    result = project.run("--stage", "unit")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("FAILED: unit api, unit web (")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--stage", "all"], "invalid choice: 'all'"),
        (["--service", "nobody"], "no service 'nobody': there are api, worker"),
        (["--service", "api worker"], "no service 'api worker'"),
        (["--service", "api", "--stage", "integration"], "leave out --service"),
    ],
)
def test_bad_usage_is_one_line(multi: Project, arguments: list[str], words: str) -> None:
    result = multi.run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr


def test_a_service_folder_with_a_space_is_refused(multi: Project) -> None:
    multi.service("my service", "true")
    result = multi.run()
    assert result.returncode == 2
    assert result.stderr.startswith("test-runner.py: services/my service: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_runner_that_would_start_itself_for_ever_stops(project: Project) -> None:
    project.makefile("Makefile", " ".join(["PYTHONSAFEPATH=", *project.command]))
    result = project.run()
    assert result.returncode == 1
    assert "is services/ missing?" in result.stdout


def test_help_names_the_options_and_the_exit_codes(multi: Project) -> None:
    result = multi.run("--help")
    assert result.returncode == 0
    for word in ("--verbose", "--stage", "--service", "3 a tool", ".test-results/"):
        assert word in result.stdout


CLEANS_UP = """
    trap 'sleep 0.3; touch cleaned; exit 1' EXIT
    trap 'exit 130' INT TERM
    sleep 300 & echo $! > helper.pid
    echo $$ > target.pid
    touch started
    wait
"""


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_lets_the_target_clean_up(multi: Project, signum: int, code: int) -> None:
    multi.script("test-service.sh", CLEANS_UP)
    runner = multi.start("--service", "api")
    multi.wait_for("started")
    runner.send_signal(signum)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == code
    assert multi.has("cleaned")
    assert not alive(multi.root / "target.pid")
    assert not alive(multi.root / "helper.pid"), "what a target leaves behind is ended too"
    lines = output.splitlines()
    assert any(line.startswith("  ✗ api interrupted ") for line in lines)
    assert lines[-1].startswith(f"INTERRUPTED by {signal.Signals(signum).name} after ")


def test_an_interrupt_starts_no_further_stage(multi: Project) -> None:
    multi.service("api", "touch ../../started; exec sleep 300")
    runner = multi.start()
    multi.wait_for("started")
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert "Service Tests: not run" in output.splitlines()
    assert not multi.has("service-api")


STUBBORN = """
    trap '' INT TERM
    echo $$ > target.pid
    touch started
    while :; do sleep 0.1; done
"""


def test_a_second_interrupt_kills_at_once(multi: Project) -> None:
    multi.script("test-service.sh", STUBBORN)
    runner = multi.start("--service", "api")
    multi.wait_for("started")
    runner.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert runner.poll() is None
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=10)
    assert runner.returncode == 130
    assert not alive(multi.root / "target.pid")


@pytest.mark.parametrize("polite", [False, True], ids=["never", "at the second word"])
def test_who_does_not_listen_is_ended_in_the_end(multi: Project, polite: bool) -> None:
    told = "trap '' INT; trap 'touch told; exit 1' TERM"
    script = STUBBORN.replace("trap '' INT TERM", told) if polite else STUBBORN
    multi.replace("GRACE_SECONDS = 30.0", "GRACE_SECONDS = 0.5")
    multi.replace("KILL_SECONDS = 5.0", "KILL_SECONDS = 0.5")
    multi.script("test-service.sh", script)
    runner = multi.start("--service", "api")
    multi.wait_for("started")
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=10)
    assert runner.returncode == 143
    assert multi.has("told") == polite
    assert not alive(multi.root / "target.pid")


def test_a_process_left_by_a_green_target_is_ended(project: Project) -> None:
    project.service("api", "sleep 300 & echo $$! > ../../helper.pid", stack=False)
    project.service("web", "(sleep 0.5; touch ../../ended-by-itself) &", stack=False)
    assert project.run().returncode == 0
    assert not alive(project.root / "helper.pid")
    assert project.has("ended-by-itself")


def test_a_reader_that_leaves_changes_nothing(multi: Project) -> None:
    runner = multi.start()
    assert runner.stdout
    runner.stdout.close()
    assert runner.wait(timeout=30) == 0
    assert multi.has("integration")


def test_ctrl_c_on_a_terminal(multi: Project) -> None:
    multi.script("test-service.sh", CLEANS_UP)
    child = multi.terminal("--service", "api")
    multi.wait_for("started")
    child.sendintr()
    child.expect_exact("Stopping: ")
    child.expect_exact("\x1b[?25h")
    child.expect_exact("INTERRUPTED by SIGINT after ")
    rest(child)
    child.close()
    assert child.exitstatus == 130
    assert multi.has("cleaned")
    assert not alive(multi.root / "target.pid")


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_ctrl_c_through_make_and_uv_is_one_and_not_two(multi: Project) -> None:
    multi.write("Makefile", "test:\n\t@scripts/test-runner.py --service api\n")
    multi.script("test-service.sh", CLEANS_UP)
    child = pexpect.spawn(
        "make",
        ["test"],
        cwd=str(multi.root),
        env=multi.environment(TERM="xterm"),
        encoding="utf-8",
        timeout=60,
    )
    wait_until(lambda: multi.has("started"), 60)
    child.sendintr()
    child.expect_exact("INTERRUPTED by SIGINT after ")
    rest(child)
    assert multi.has("cleaned"), "a second signal would have killed it before"
    assert not alive(multi.root / "target.pid")


def test_a_terminal_that_closes_ends_the_tests(multi: Project) -> None:
    multi.script("test-service.sh", CLEANS_UP)
    child = multi.terminal("--service", "api")
    multi.wait_for("started")
    os.close(child.child_fd)
    multi.wait_for("cleaned")
    wait_until(lambda: not alive(multi.root / "target.pid"))
