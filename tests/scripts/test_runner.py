"""scripts/test-runner.py as a whole, without Docker: real processes, pytest and terminals."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pexpect
import pytest

from tests.projects import Project, alive, processes_of, rest, wait_until

ESCAPE = "\x1b"
CAPTURES = Path(__file__).parents[1] / "captures/captures.tar.xz"


@pytest.fixture
def project(render: Callable[..., Path], tmp_path: Path) -> Project:
    return Project(render({"project_slug": "shop", "services": "api"}), tmp_path / "a project")


@pytest.fixture
def single(project: Project) -> Project:
    """A single-service project."""
    project.replace("scripts/test_runner/project.py", 'LAYOUT = "multi"', 'LAYOUT = "single"')
    return project


@pytest.fixture
def two(project: Project) -> Project:
    """Two services that pass."""
    project.service("api", "touch ../../unit-api")
    project.service("worker", "touch ../../unit-worker")
    return project


def plain(text: str) -> str:
    """Return output without the parts that differ from run to run, or from machine to machine."""
    # A slow machine gets lines about what still runs.
    text = re.sub(r"^  … (?!.*: attempt ).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\d+\.\ds", "0.0s", text)
    return re.sub(r"\.test-results/\d{8}-\d{6}-\d+/", ".test-results/RUN/", text)


# SELECTION --------------------------------------------------------------------
def test_a_green_run_is_brief(two: Project) -> None:
    done = two.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert two.has("unit-api") and two.has("unit-worker")
    lines = plain(done.stdout).splitlines()
    assert lines[0] == "Unit Tests"
    assert sorted(lines[1:3]) == ["  ✓ api 0.0s", "  ✓ worker 0.0s"]
    assert lines[3:] == [
        "Service Tests",
        "  ○ api skipped: no services/api/deploy/test/docker-compose.yml",
        "  ○ worker skipped: no services/worker/deploy/test/docker-compose.yml",
        "Integration Tests",
        "  ○ full skipped: no tests/integration",
        "PASSED: 2 targets, tests not counted (0.0s)",
    ]


def test_targets_of_a_stage_run_side_by_side(project: Project) -> None:
    wait = "for i in $(seq 100); do test -e ../{} && exit 0; sleep 0.1; done; exit 1"
    project.service("api", f"touch ../api-is-here\n{wait.format('worker-is-here')}")
    project.service("worker", f"touch ../worker-is-here\n{wait.format('api-is-here')}")
    assert project.run().returncode == 0


def test_jobs_limits_the_targets_at_the_same_time(project: Project) -> None:
    alone = "mkdir ../busy\nsleep 0.2\nrmdir ../busy"
    for name in ("a", "b", "c"):
        project.service(name, alone)
    assert project.run("-j", "1").returncode == 0


def test_a_failed_target_stops_the_next_stage_but_not_its_own(two: Project) -> None:
    two.service("worker", "echo reason; exit 3")
    two.service("api", "sleep 0.5; touch ../../unit-api")
    two.write("tests/integration/test_x.py", "")
    done = two.run()
    assert done.returncode == 1
    assert two.has("unit-api")
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  ✗ worker exit 3 0.0s",
        "  ✓ api 0.0s",
        "○ Service Tests not run",
        "○ Integration Tests not run",
        "✗ unit worker: exit 3",
        "    reason",
        "    rerun: make -C services/worker test-unit",
        "  log: .test-results/RUN/unit-worker.log",
        "FAILED: unit worker (0.0s)",
    ]
    assert two.target("integration full")["state"] == "not run"


def test_the_rerun_command_works(two: Project) -> None:
    two.service("api", "exit 1")
    line = next(line for line in two.run().stdout.splitlines() if "rerun: " in line)
    two.service("api", "touch ../../again")
    subprocess.run(line.partition("rerun: ")[2], shell=True, cwd=two.root, check=True)
    assert two.has("again")


def test_stages_and_services_can_be_chosen(two: Project) -> None:
    assert two.run("--stage", "unit", "--service", "api").returncode == 0
    assert two.has("unit-api") and not two.has("unit-worker")
    assert [target["name"] for target in two.summary["targets"]] == ["api"]
    assert two.run("--service", "worker").returncode == 0
    assert two.has("unit-worker")
    assert [target["stage"] for target in two.summary["targets"]] == ["unit", "service"]


def test_a_single_service_is_called_app(single: Project) -> None:
    single.makefile(".", test_unit="touch unit")
    done = single.run()
    assert done.returncode == 0
    assert single.has("unit")
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  ✓ app 0.0s",
        "Integration Tests",
        "  ○ app skipped: no tests/integration",
        "PASSED: 1 target, tests not counted (0.0s)",
    ]
    # A folder of that name has no special meaning here.
    single.write("services/full/__init__.py", "")
    done = single.run("--service", "full")
    assert done.returncode == 2
    assert done.stderr == (
        "test-runner.py: this is a single-service project: omit --service (see --help)\n"
    )


def test_a_service_without_tests_is_skipped(two: Project) -> None:
    (two.root / "services/notes").mkdir()
    (two.root / "services/.cache").mkdir()
    two.write("services/other/Makefile", "build:\n\ttouch built\n")
    done = two.run("--stage", "unit")
    assert done.returncode == 0
    assert (
        "  ○ notes skipped: no target test-unit: there is no services/notes/Makefile" in done.stdout
    )
    assert "  ○ other skipped: no target test-unit in services/other/Makefile" in done.stdout
    assert ".cache" not in done.stdout
    assert plain(done.stdout).splitlines()[-1] == "PASSED: 2 targets, tests not counted (0.0s)"


def test_a_project_without_services_does_not_pass(project: Project) -> None:
    project.makefile(".", test_unit="true")
    done = project.run("--stage", "unit")
    assert done.returncode == 5
    assert "NOTHING RAN" in done.stdout


def test_a_run_without_tests_does_not_pass(project: Project) -> None:
    done = project.run("--stage", "service")
    assert done.returncode == 5
    assert plain(done.stdout).splitlines() == ["NOTHING RAN: no selected target has tests (0.0s)"]
    (project.root / "services/notes").mkdir(parents=True)
    assert project.run().returncode == 5


def test_checking_for_a_target_runs_no_command_of_the_makefile(project: Project) -> None:
    count = "echo x >> ../../count"
    project.write(
        "services/api/Makefile",
        f"SHELL := /bin/bash\nX := $(shell {count})\ntest-%:\n\t+{count}; : $(MAKE)\n",
    )
    assert project.run("--stage", "unit").returncode == 0
    assert (project.root / "count").read_text() == "x\nx\n", "once for the real run, no more"


def test_a_broken_makefile_fails_with_the_error_of_make(project: Project) -> None:
    project.write("services/api/Makefile", "test-unit: missing-file\n\ttrue\n")
    project.write("services/web/Makefile", "this is no Makefile\n")
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    assert plain(done.stdout).splitlines()[-1] == "FAILED: unit api, unit web (0.0s)"


def test_missing_tools_are_reported_before_the_unit_tests(two: Project) -> None:
    two.write("tests/integration/test_x.py", "")
    two.write(
        "scripts/check-tools.sh", "#!/bin/sh\necho 'Docker is not running: start it'; exit 1\n"
    )
    done = two.run()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Docker is not running: start it\n"
    assert not two.has("unit-api")
    assert two.run("--stage", "unit").returncode == 0, "unit tests need no Docker"
    (two.root / "scripts/check-tools.sh").unlink()
    done = two.run()
    assert done.returncode == 3
    assert done.stderr == "test-runner.py: scripts/check-tools.sh: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--stage", "all"], "invalid choice: 'all'"),
        (["--service", "billing"], "no service 'billing': choose from api, worker"),
        (["--service", "api worker"], "no service 'api worker'"),
        (["--service", "api", "--stage", "integration"], "integration tests cover all services"),
        (["-j", "0"], "'0' must be a whole number, 1 or more"),
        (["--timeout", "soon"], "'soon' must be a number of seconds, 0 or more"),
        (["--slow=-1"], "'-1' must be a number of seconds, 0 or more"),
        (["--output", "loud"], "invalid choice: 'loud'"),
    ],
)
def test_a_usage_error_is_one_line(two: Project, arguments: list[str], words: str) -> None:
    done = two.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    done = two.run(TEST_OUTPUT="loud")
    assert done.returncode == 2
    assert "TEST_OUTPUT must be auto, live, plain or json, not 'loud'" in done.stderr


def test_an_invalid_instance_id_is_refused(two: Project) -> None:
    two.write("tests/integration/test_x.py", "")
    two.write("scripts/check-tools.sh", "#!/bin/sh\n")
    done = two.run(TEST_INSTANCE_ID="Main")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("test-runner.py: TEST_INSTANCE_ID Main is invalid: ")


def test_a_service_folder_with_a_space_is_refused(two: Project) -> None:
    two.service("my service", "true")
    done = two.run()
    assert done.returncode == 2
    assert done.stderr.startswith("test-runner.py: services/my service: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_target_that_starts_the_runner_again_is_stopped(single: Project) -> None:
    single.makefile(".", test_unit=" ".join(single.command))
    done = single.run()
    assert done.returncode == 1
    assert "a test target starts this runner again" in done.stdout


def test_help_names_the_options_and_the_exit_codes(two: Project) -> None:
    done = two.run("--help")
    assert done.returncode == 0
    for word in ("--verbose", "--stage", "--service", "--changed", "--failed", "5 no tests ran"):
        assert word in done.stdout


# ENVIRONMENT OF TARGETS -------------------------------------------------------
def test_targets_get_no_colours_no_state_of_make_and_no_terminal(project: Project) -> None:
    project.service("api", "env; test ! -t 0; ! read line")
    flags = {"FORCE_COLOR": "1", "MAKEFLAGS": "-j2 --jobserver-auth=3,4", "MAKELEVEL": "1"}
    assert project.run(**flags, ARGS="-k name").returncode == 0
    log = (project.latest / "unit-api.log").read_text().splitlines()
    assert {"NO_COLOR=1", "PYTHONUNBUFFERED=1", "ARGS=-k name"} <= set(log)
    assert not [line for line in log if "FORCE_COLOR" in line or "jobserver" in line]
    assert not [line for line in log if "Entering directory" in line]


def test_the_users_settings_for_python_and_pytest_are_kept(project: Project) -> None:
    project.service("api", "env")
    assert project.run(PYTHONPATH="/mine", PYTEST_ADDOPTS="--strict-markers").returncode == 0
    log = (project.latest / "unit-api.log").read_text()
    assert re.search(r"^PYTHONPATH=.*/plugins:/mine$", log, re.MULTILINE)
    assert "PYTEST_ADDOPTS=--strict-markers -p pytest_events\n" in log


# RESULT OF A TARGET -----------------------------------------------------------
PASSES = "def test_one(): pass\ndef test_two(): pass\n"
FAILS = "def test_one(): pass\ndef test_two():\n    assert 1 + 1 == 3\n"


def test_the_number_of_pytest_tests_is_displayed(project: Project) -> None:
    project.pytest("api", test_a=PASSES, test_b=PASSES.replace("one", "three"))
    done = project.run("--stage", "unit")
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  ✓ api 4/4 0.0s",
        "PASSED: 4 tests (0.0s)",
    ]
    assert project.target("unit api")["tests"] == 4


def test_a_failed_test_is_shown_with_its_location_and_rerun_command(project: Project) -> None:
    project.pytest("api", test_a=FAILS)
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    assert plain(done.stdout).splitlines() == [
        "Unit Tests",
        "  ✗ api 1 failed 2/2 0.0s",
        "✗ unit api tests/test_a.py::test_two",
        "    >   assert 1 + 1 == 3",
        "    E   assert (1 + 1) == 3",
        "    services/api/tests/test_a.py:3",
        "    rerun: make -C services/api test-unit TESTS=tests/test_a.py::test_two",
        "  log: .test-results/RUN/unit-api.log",
        "FAILED: 1 of 2 tests in unit api (0.0s)",
    ]
    assert project.target("unit api")["failed"] == ["tests/test_a.py::test_two"]


SEGFAULT = "import ctypes\ndef test_one(): pass\ndef test_dies():\n    ctypes.string_at(0)\n"

#: The ends of a target: its recipe, the expected state, the expected exit code and the message.
ENDS = {
    "passed": ("true", "passed", 0, "PASSED: 1 target"),
    "failed": ("exit 4", "failed", 1, "✗ unit api: exit 4"),
    "killed": ("kill -9 $$", "failed", 1, "killed"),
    "no such program": (
        "nonsense-program",
        "failed",
        1,
        "    try: `make setup`, because nonsense-program is not installed\n",
    ),
    "no such package": (
        'echo "/usr/bin/python3: No module named pytest"; exit 1',
        "failed",
        1,
        "    try: `make setup`, because pytest is not installed\n",
    ),
    "passed with failed events": (
        """
        printf '{"event": "begin"}\\n{"event": "total", "tests": 1}\\n' >> "$TEST_EVENTS"
        printf '{"event": "result", "test": "a::b", "outcome": "failed"}\\n' >> "$TEST_EVENTS"
        printf '{"event": "end", "exit": 0}\\n' >> "$TEST_EVENTS"
        """,
        "failed",
        1,
        "1 failed, but the command exited 0",
    ),
    "passed without an end event": (
        """
        printf '{"event": "begin"}\\n{"event": "result", "test": "a", "outcome": "passed"}\\n' \\
          >> "$TEST_EVENTS"
        """,
        "failed",
        1,
        "the command exited 0 before all tests had finished",
    ),
    "failed although its tests passed": (
        """
        printf '{"event": "begin"}\\n{"event": "result", "test": "a", "outcome": "passed"}\\n' \\
          >> "$TEST_EVENTS"
        printf '{"event": "end", "exit": 0}\\n' >> "$TEST_EVENTS"
        exit 6
        """,
        "failed",
        1,
        "no test failed, but exit 6",
    ),
    "invalid events": (
        r"""
        printf '\377\376 {{{\n[]\n{"event": 7}\n{"event":"total"}\n"x"\n' >> "$TEST_EVENTS"
        """,
        "passed",
        0,
        "PASSED",
    ),
    "output that looks like a summary": (
        r"""
        printf '=== 3 failed, 97 passed in 1.00s ===\ntests/x.py::test_y FAILED  [ 52%%]\n'
        printf ' ✓ src/fake.test.tsx (99 tests) 3ms\nmore output\n'
        """,
        "passed",
        0,
        "PASSED: 1 target",
    ),
    "fewer tests than it collected, according to its output": (
        r"""
        printf '==== test session starts ====\ncollected 5 items\n\ntests/test_a.py ..  [ 40%%]\n'
        printf '\n!!!! _pytest.outcomes.Exit: enough !!!!\n==== 2 passed in 0.01s ====\n'
        """,
        "failed",
        1,
        "3 of 5 collected tests did not run, but the command exited 0",
    ),
    "no tests, according to its output": (
        "echo '===== no tests ran in 0.01s ====='; exit 5",
        "nothing ran",
        5,
        "NOTHING RAN",
    ),
    "no tests, and another error": (
        "printf ' RUN  v4.0.1 /x\\n\\nNo test files found, exiting with code 0\\n'; exit 2",
        "failed",
        1,
        "exit 2",
    ),
    "all skipped, and another error": (
        "echo '===== 3 skipped in 0.01s ====='; exit 1",
        "failed",
        1,
        "exit 1",
    ),
    "output that is not text": (r"printf '\377\376\000\033[31m'; exit 1", "failed", 1, "exit 2"),
}


@pytest.mark.parametrize(("recipe", "state", "code", "says"), ENDS.values(), ids=ENDS)
def test_how_a_target_ends(project: Project, recipe: str, state: str, code: int, says: str) -> None:
    project.service("api", recipe)
    done = project.run("--stage", "unit")
    assert done.returncode == code, done.stdout
    assert project.target("unit api")["state"] == state
    assert says in done.stdout
    assert len(done.stdout.splitlines()) <= 20


#: A fixture ends pytest before the second test.
EXITS = """
import pytest
def test_one(): pass
@pytest.fixture
def server(): pytest.exit("no server", returncode=0)
def test_two(server): pass
def test_three(): pass
"""

#: The same for suites of pytest.
SUITES = {
    "an early exit with code 0": (
        EXITS,
        "failed",
        1,
        "✗ unit api: 2 of 3 collected tests did not run, but the command exited 0",
    ),
    "an early exit with code 0 before the first test": (
        EXITS.replace("def test_one(): pass", ""),
        "failed",
        1,
        "2 of 2 collected tests did not run",
    ),
    "segmentation fault": (SEGFAULT, "crashed", 1, "test_a.py::test_dies crashed: segmentation"),
    "a hard exit": (
        "import os\ndef test_quits(): os._exit(0)\n",
        "failed",
        1,
        "the command exited 0 before all tests had finished",
    ),
    "no tests": ("", "nothing ran", 5, "NOTHING RAN: unit api"),
    "only skipped tests": (
        "import pytest\n@pytest.mark.skip\ndef test_one(): pass\n",
        "nothing ran",
        5,
        "NOTHING RAN: unit api",
    ),
    "a file that cannot be loaded": (
        "import nonsense\n",
        "failed",
        1,
        "E   ModuleNotFoundError: No module named 'nonsense'",
    ),
}


@pytest.mark.parametrize(("suite", "state", "code", "says"), SUITES.values(), ids=SUITES)
def test_how_a_suite_ends(project: Project, suite: str, state: str, code: int, says: str) -> None:
    project.pytest("api", test_a=suite)
    done = project.run("--stage", "unit")
    assert done.returncode == code, done.stdout
    assert project.target("unit api")["state"] == state
    assert says in done.stdout
    assert len(done.stdout.splitlines()) <= 14
    assert len(done.stdout.encode()) <= 1200


def test_a_target_without_a_selected_test_passes_if_another_target_has_one(
    project: Project,
) -> None:
    project.pytest("api", test_a=PASSES)
    project.pytest("worker", test_a=PASSES.replace("one", "other"))
    done = project.run("--stage", "unit", ARGS="-k one")
    assert done.returncode == 0, done.stdout
    assert plain(done.stdout).splitlines()[-1] == "PASSED: 1 test (0.0s)"
    assert project.run("--stage", "unit", ARGS="-k nothing").returncode == 5
    assert project.run("--stage", "unit", TESTS="tests/test_a.py::test_two").returncode == 0


def test_tests_that_are_only_listed_or_run_twice(project: Project) -> None:
    project.pytest("api", test_a=PASSES)
    assert project.run("--stage", "unit", ARGS="--collect-only").returncode == 5
    twice = "--keep-duplicates tests/test_a.py tests/test_a.py"
    done = project.run("--stage", "unit", ARGS=twice)
    assert "PASSED: 2 tests" in done.stdout, done.stdout


def test_a_pytest_that_ends_early_in_a_recipe_with_two(project: Project) -> None:
    project.pytest("api", test_a=EXITS, test_b=PASSES)
    makefile = (project.root / "services/api/Makefile").read_text()
    recipe = makefile.splitlines()[-1]
    twice = [recipe.replace("$(TESTS)", f"tests/test_{name}.py") for name in ("a", "b")]
    project.write("services/api/Makefile", makefile.replace(recipe, "\n".join(twice)))
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    assert "2 of 5 collected tests did not run" in done.stdout


def test_a_root_cause_is_printed_once(project: Project) -> None:
    project.pytest(
        "api",
        conftest="""
            import pytest

            @pytest.fixture(scope="session")
            def database():
                raise RuntimeError("no database")
            """,
        test_a="""
            import pytest

            @pytest.mark.parametrize("number", range(200))
            def test_it(database, number): pass
            """,
    )
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    lines = plain(done.stdout).splitlines()
    assert lines[2:] == [
        "✗ unit api tests/test_a.py::test_it[0] (+199 more)",
        '    >   raise RuntimeError("no database")',
        "    E   RuntimeError: no database",
        "    services/api/tests/conftest.py:5",
        "    rerun: make test FAILED=1 STAGE=unit SERVICE=api",
        "  log: .test-results/RUN/unit-api.log",
        "FAILED: 200 of 200 tests in unit api (0.0s)",
    ]
    assert len(done.stdout.encode()) < 600


def test_failed_runs_only_the_failed_tests(project: Project) -> None:
    project.pytest("api", test_a=FAILS, test_b="import nonsense\n")
    project.pytest("worker", test_a=PASSES)
    assert project.run("--stage", "unit").returncode == 1
    # A file that cannot be loaded stops pytest before the first test, so no test has passed.
    assert project.target("unit api")["failed"] == ["tests/test_b.py"]
    project.write("services/api/tests/test_b.py", PASSES)
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["executed"] == 4
    assert project.run("--failed").returncode == 1
    assert [target["name"] for target in project.summary["targets"]] == ["api"]
    assert project.target("unit api")["executed"] == 1
    project.write("services/api/tests/test_a.py", PASSES)
    assert project.run("--failed").returncode == 0
    done = project.run("--failed")
    assert (done.returncode, done.stdout) == (
        0,
        "NOTHING TO RUN: no selected test failed in the last run\n",
    )


def test_failed_runs_all_tests_of_a_target_that_did_not_finish(project: Project) -> None:
    project.pytest(
        "api",
        test_a="""
            import os
            def test_one(): assert False
            def test_two(): os.abort()
            def test_three(): pass
            """,
    )
    assert project.run("--stage", "unit").returncode == 1
    project.replace("services/api/tests/test_a.py", "assert False", "pass")
    assert project.run("--failed").returncode == 1, "test_two still aborts"
    project.replace("services/api/tests/test_a.py", "os.abort()", "pass")
    assert project.run("--failed").returncode == 0
    assert project.target("unit api")["executed"] == 3


def test_failed_runs_all_tests_if_the_failure_is_not_a_test(project: Project) -> None:
    project.pytest("api", conftest="import nonsense\n", test_a=PASSES)
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    assert "    rerun: make -C services/api test-unit\n" in done.stdout
    project.write("services/api/tests/conftest.py", "")
    assert project.run("--failed").returncode == 0
    assert project.target("unit api")["executed"] == 2


def test_failed_does_not_forget_a_renamed_test(project: Project) -> None:
    project.pytest("api", test_a=FAILS)
    project.pytest("worker", test_a="def test_it(): assert 0\n")
    assert project.run("--stage", "unit").returncode == 1
    project.write("services/worker/tests/test_a.py", "def test_it(): pass\n")
    project.write("services/api/tests/test_a.py", "def test_renamed(): assert 0\n")
    assert project.run("--failed").returncode == 5, "though the tests of worker have passed"
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["failed"] == ["tests/test_a.py::test_renamed"]


def test_failed_with_a_recipe_that_calls_pytest_twice(project: Project) -> None:
    project.pytest("api", test_a="def test_a(): pass\n", test_b="def test_b(): assert 0\n")
    makefile = (project.root / "services/api/Makefile").read_text()
    recipe = makefile.splitlines()[-1]
    twice = [recipe.replace("$(TESTS)", f"tests/test_{name}.py") for name in ("a", "b")]
    project.write("services/api/Makefile", makefile.replace(recipe, "\n".join(twice)))
    assert project.run("--stage", "unit").returncode == 1
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["failed"] == ["tests/test_b.py::test_b"]
    project.write("services/api/tests/test_b.py", "def test_b(): pass\n")
    assert project.run("--failed").returncode == 0
    assert project.target("unit api")["executed"] == 1


def test_failed_runs_the_class_that_could_not_be_collected(project: Project) -> None:
    broken = """
        import pytest
        class TestIt:
            @pytest.mark.parametrize("x", 1)
            def test_it(self, x): assert 0
    """
    project.pytest("api", test_a=broken, test_b="def test_other(): pass\n")
    # Otherwise no test of the target would run, and then all of them would run again.
    option = "[pytest]\naddopts = --continue-on-collection-errors\n"
    project.write("services/api/pytest.ini", option)
    assert project.run("--stage", "unit").returncode == 1
    project.replace("services/api/tests/test_a.py", '"x", 1', '"x", [1]')
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["failed"] == ["tests/test_a.py::TestIt::test_it[1]"]
    assert project.target("unit api")["executed"] == 1


def test_failed_without_an_earlier_run_is_refused(two: Project) -> None:
    done = two.run("--failed")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "test-runner.py: there are no results of a last run: run all tests first (see --help)\n"
    )


def events(*events: dict[str, Any], code: int) -> str:
    """Return a recipe that writes events, as a user's own test tool might."""
    lines = "\n".join(json.dumps(event) for event in events)
    return f"cat >> \"$TEST_EVENTS\" <<'END'\n{lines}\nEND\nexit {code}"


def test_vitest_reruns_the_files_of_failed_tests(project: Project) -> None:
    begin = {"event": "begin", "tool": "vitest"}
    failure = {"type": "Error", "message": "no"}
    broken = {"event": "collect_error", "test": "tests/$b.test.ts", "failure": failure}
    result = {"event": "result", "outcome": "failed", "failure": failure | {"message": "of two"}}
    test = "tests/a.test.ts > suite > 1 > 0 (2)"
    failed: list[dict[str, Any]] = [
        begin,
        broken,
        result | {"test": test},
        {"event": "end", "exit": 1},
    ]
    recipe = 'printf "%s\\n" "$TESTS" > ../../tests; '
    project.service("api", recipe + events(*failed, code=1))
    text = project.run("--stage", "unit").stdout
    [one, other] = [line for line in text.splitlines() if "rerun: " in line]
    assert one.endswith("test-unit 'TESTS='\"'\"'tests/$$b.test.ts'\"'\"''")
    # The command runs this test, and the tests whose names contain its name.
    for line, tests in ((one, "'tests/$b.test.ts'"), (other, r"tests/a.test.ts -t suite.+1.+0")):
        subprocess.run(
            line.partition("rerun: ")[2],
            shell=True,
            cwd=project.root,
            env=project.environment(TEST_EVENTS="/dev/null"),
            capture_output=True,
        )
        assert (project.root / "tests").read_text() == f"{tests}\n"
    assert project.run("--failed").returncode == 1
    assert (project.root / "tests").read_text() == "'tests/$b.test.ts' tests/a.test.ts\n"
    unhandled = {"event": "collect_error", "test": "unhandled error", "failure": failure}
    project.service("api", recipe + events(begin, unhandled, {"event": "end", "exit": 1}, code=1))
    assert "rerun: make -C services/api test-unit\n" in project.run("--stage", "unit").stdout
    project.run("--failed")
    assert (project.root / "tests").read_text() == "\n"


def test_a_pytest_id_that_looks_like_a_vitest_id(project: Project) -> None:
    project.pytest(
        "api",
        test_a="""
            import pytest

            @pytest.mark.parametrize("text", ["a > b", "c $x"])
            def test_it(text): raise RuntimeError("no")
            """,
    )
    text = project.run("--stage", "unit").stdout
    [again] = [line.partition("rerun: ")[2] for line in text.splitlines() if "rerun: " in line]
    done = subprocess.run(
        again,
        shell=True,
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
    )
    assert "2 failed" in done.stdout
    assert project.run("--failed").returncode == 1
    assert project.target("unit api")["executed"] == 2


def test_arguments_arrive_unchanged(two: Project) -> None:
    """Each level of make expands its arguments once more, but they must arrive unchanged."""
    recipe = "@printf '%s|' \"$$ARGS\" $(ARGS) > ../../arguments"
    two.write("services/api/Makefile", f"test-unit:\n\t{recipe}\n")
    assert two.run("--stage", "unit", ARGS="-k 'é $x'").returncode == 0
    assert (two.root / "arguments").read_text() == "-k 'é $x'|-k|é $x|"


def test_invalid_events_do_not_stop_the_run(two: Project) -> None:
    begin = {"event": "begin", "tool": "mine"}
    recipe = events(begin, code=0).replace("\nEND", '\n{"event":"total","tests":Infinity}\nEND')
    two.service("api", recipe)
    done = two.run("--stage", "unit")
    assert done.stderr == ""
    assert two.target("unit api")["state"] == "failed"  # The tool never wrote an `end`.


def test_output_that_is_not_utf_8_is_shown(project: Project) -> None:
    project.pytest("api", test_a="def test_it(): raise RuntimeError('no file \\udcff')\n")
    page = project.root / "page"
    done = project.run("--stage", "unit", GITHUB_STEP_SUMMARY=str(page))
    assert (done.returncode, done.stderr) == (1, "")
    assert project.target("unit api")["causes"][0]["message"] == "no file \udcff"
    assert "no file \\udcff" in page.read_text()


def test_a_flood_of_output_delays_nothing(project: Project) -> None:
    project.service("api", "yes '.......... [ 50%]'")
    done = project.run("--stage", "unit", "--timeout", "1")
    assert done.returncode == 4
    # The runner read the log while it grew, and ended at once after the target.
    assert project.target("unit api")["seconds"] < 10
    # The end of the log is always read, even if the middle was skipped.
    end = "echo; echo '===== 3 passed in 0.01s ====='"
    project.service("api", f"head --bytes=20000000 /dev/zero | tr '\\0' y\n{end}")
    assert plain(project.run("--stage", "unit").stdout).endswith("PASSED: 3 tests (0.0s)\n")


def test_the_children_of_a_target_are_ended(project: Project) -> None:
    escapee = f"{sys.executable} -c 'import os, time; os.setsid(); time.sleep(300)' & echo $! > ../../escaped.pid"
    project.service("api", f"sleep 300 & echo $! > ../../helper.pid\n{escapee}\nsleep 0.3")
    project.service("web", "(sleep 0.5; touch ../../ended-by-itself) &")
    done = project.run("--stage", "unit")
    assert done.returncode == 0
    assert "killed processes that it left running" in done.stdout
    assert not alive(project.root / "helper.pid")
    assert not alive(project.root / "escaped.pid")
    assert project.has("ended-by-itself")


def test_a_hanging_test_is_ended_and_named(project: Project) -> None:
    project.pytest("api", test_a="import time\ndef test_hangs(): time.sleep(300)\n")
    # Long enough for pytest to start on a busy machine.
    done = project.run("--stage", "unit", "--timeout", "5")
    assert done.returncode == 4
    assert re.search(r"✗ unit api tests/test_a.py::test_hangs timed out: after \ds", done.stdout)
    assert plain(done.stdout).splitlines()[-1] == "TIMED OUT: unit api (0.0s)"


def test_the_time_limit_of_a_run(project: Project) -> None:
    project.service("api", "trap '' INT TERM; echo $$ > ../../target.pid; sleep 300")
    project.replace(
        "scripts/test_runner/processes.py", "PATIENCE = (5.0, 2.0)", "PATIENCE = (0.2, 0.2)"
    )
    done = project.run("--run-timeout", "1")
    assert done.returncode == 4, done.stdout
    assert not alive(project.root / "target.pid")
    assert project.target("unit api")["state"] == "timed out"


# OUTPUT -----------------------------------------------------------------------
def test_100_megabytes_of_output_cost_little_time_and_memory(project: Project) -> None:
    line = "import sys; sys.stdout.buffer.write((b'x' * 100_000 + bytes([255, 10])) * 10)"
    project.service("api", f'for i in $(seq 100); do {sys.executable} -c "{line}"; done; exit 1')
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *project.command, "--stage", "unit"],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.splitlines()[-1]) < 100 * 1024, "kilobytes, of the largest process"
    assert len(done.stdout) < 4096
    assert (project.latest / "unit-api.log").stat().st_size > 100_000_000


NASTY = "tests/x.py::test_names[red] [/bold] [link=x]" + "y" * 90 + "/p.py:3"


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_output_on_a_pipe_has_no_escape_sequences(two: Project, env: dict[str, str]) -> None:
    two.service("api", f"printf '\\033[31m%s\\033[0m\\n' '{NASTY}'; exit 1")
    done = two.run(**env)
    assert done.returncode == 1
    assert f"    {NASTY}" in done.stdout.splitlines()
    assert ESCAPE not in done.stdout + done.stderr
    if "PYTHONIOENCODING" in env:
        assert done.stdout.isascii()


@pytest.mark.parametrize(
    "env", [{"TERM": "dumb"}, {"CI": "true"}, {"CLAUDECODE": "1"}, {"TEST_OUTPUT": "plain"}]
)
def test_ci_and_agents_get_plain_lines_on_a_terminal(two: Project, env: dict[str, Any]) -> None:
    text = rest(two.terminal(FORCE_COLOR="1", **env))
    assert ESCAPE not in text
    assert plain(text).splitlines()[-1] == "PASSED: 2 targets, tests not counted (0.0s)"


def test_ids_and_commands_are_printed_unchanged(project: Project) -> None:
    nasty = "x[red] [/bold] 'it''s' $HOME `date` # ü" + "z" * 200
    mark = f"@pytest.mark.parametrize('v', [1], ids=[{nasty!r}])"
    project.pytest("api", test_a=f"import pytest\n{mark}\ndef test_it(v): assert 0\n")
    done = project.run("--stage", "unit")
    line = next(line for line in done.stdout.splitlines() if "rerun: " in line)
    again = subprocess.run(
        line.partition("rerun: ")[2],
        shell=True,
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
    )
    assert "1 failed" in again.stdout, again.stdout + again.stderr


def test_verbose_streams_all_output_with_the_name_of_the_target(two: Project) -> None:
    two.service("api", "seq 1 20000; printf end")
    two.service("worker", "echo hello; exit 1")
    lines = two.run("-v").stdout.splitlines()
    assert [line for line in lines if line.startswith("api | ")] == [
        *(f"api | {number}" for number in range(1, 20001)),
        "api | end",
    ]
    assert lines.count("worker | hello") == 1


def test_verbose_ends_with_the_ten_slowest(project: Project) -> None:
    tests = "".join(
        f"def test_{number}():\n    import time; time.sleep({number / 100})\n"
        for number in range(12)
    )
    project.pytest("api", test_a=tests)
    lines = project.run("-v", "--stage", "unit").stdout.splitlines()
    took = [float(line.split()[0].rstrip("s")) for line in lines[-11:-1]]
    assert took == sorted(took, reverse=True)
    assert all(" unit api tests/test_a.py::test_" in line for line in lines[-11:-1])


def test_json_is_valid_with_nothing_to_run_and_in_ci(project: Project) -> None:
    project.pytest("api", test_a=FAILS)
    failed = project.run("--output=json", "--stage=unit", GITHUB_ACTIONS="true")
    project.pytest("api", test_a=PASSES)
    assert project.run("--failed").returncode == 0
    idle = project.run("--output=json", "--failed", "-v")
    for done, code in ((failed, 1), (idle, 0)):
        assert done.returncode == code
        last = [json.loads(line) for line in done.stdout.splitlines()][-1]
        assert (last["event"], last["exit"]) == ("end", code)


def test_json_is_one_object_per_line(project: Project) -> None:
    project.pytest("api", test_a=FAILS)
    done = project.run("--stage", "unit", "--output", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["stage", "target", "end"]
    assert events[1]["causes"][0]["where"] == "tests/test_a.py:3"
    assert (events[2]["exit"], events[2]["verdict"]) == (1, "FAILED: 1 of 2 tests in unit api")


def test_a_heartbeat_line_after_a_time_without_output(project: Project) -> None:
    project.pytest("api", test_a="import time\ndef test_long(): time.sleep(2.6)\n")
    project.replace("scripts/test_runner/display.py", "HEARTBEAT = 30", "HEARTBEAT = 1")
    lines = project.run("--stage", "unit").stdout.splitlines()
    beats = [line for line in lines if line.startswith("  … ")]
    assert any(re.fullmatch(r"  … api 0/1 \ds test_long", beat) for beat in beats), beats


def test_slow_tests_are_reported_once_and_can_fail_the_run(project: Project) -> None:
    project.pytest(
        "api",
        test_a="""
            import time, pytest

            @pytest.fixture
            def engine(): time.sleep(0.5)

            def test_quick(engine): pass
            def test_slow(): time.sleep(0.4)
            """,
    )
    done = project.run("--stage", "unit", "--slow-unit", "0.2")
    assert done.returncode == 0
    line = re.sub(r"0\.\d", "0", plain(done.stdout).splitlines()[-2])
    assert line == "slow: unit api: fixture engine 0s, test_slow 0s"
    done = project.run("--stage", "unit", "--slow-unit", "0.2", "--fail-slow")
    assert done.returncode == 1
    assert plain(done.stdout).splitlines()[-1] == "FAILED: 2 slow tests or fixtures (0.0s)"
    assert "slow" not in project.run("--stage", "unit").stdout


# RESULTS ON DISK --------------------------------------------------------------
def test_results_on_disk(project: Project) -> None:
    project.pytest("api", test_a=FAILS)
    project.service("web", "exit 1")
    assert project.run("--stage", "unit").returncode == 1
    assert sorted(path.name for path in project.latest.iterdir()) == [
        "junit.xml",
        "summary.json",
        "unit-api.events.jsonl",
        "unit-api.log",
        "unit-web.log",
    ]
    suites = ElementTree.parse(project.latest / "junit.xml").getroot()
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in suites}
    assert counts == {"unit api": ("2", "1"), "unit web": ("1", "0")}
    failure = suites.find("testsuite/testcase/failure")
    assert failure is not None and failure.text
    assert failure.text.splitlines()[-1] == "tests/test_a.py:3"


JUNIT = """<testsuites><testsuite name="cart">
<testcase classname="shop.CartTest" name="adds" time="0.25"/>
<testcase classname="shop.CartTest" name="later"><skipped/></testcase>
<testcase classname="shop.CartTest" name="pays" time="0.5">
<failure type="AssertionError" message="expected 1, got 2">at CartTest.java:12</failure></testcase>
</testsuite></testsuites>"""


def test_junit_xml_of_a_test_tool_is_read(project: Project) -> None:
    project.write("report.xml", JUNIT)
    project.write(
        "green.xml", "<testsuite><testcase name='one'/><testcase name='two'/></testsuite>"
    )
    project.service("file", 'cp ../../report.xml "$TEST_JUNIT"; exit 1')
    project.service(
        "folder", 'mkdir -p "$TEST_JUNIT/a"; cp ../../*.xml "$TEST_JUNIT/a"; echo out; exit 1'
    )
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    for name, tests, executed in (("file", 3, 2), ("folder", 5, 4)):
        target = project.target(f"unit {name}")
        assert (target["tests"], target["executed"]) == (tests, executed)
        assert target["failed"] == ["shop.CartTest::pays"]
        assert target["causes"][0]["message"] == "expected 1, got 2"
        assert f"✗ unit {name} shop.CartTest::pays\n    expected 1, got 2" in done.stdout.replace(
            "AssertionError: ", ""
        )
    assert plain(done.stdout).splitlines()[-1].startswith("FAILED: 2 of 6 tests in unit file")


@pytest.mark.parametrize(
    "recipe",
    [
        # Valid, but above the limit of 50 MB.
        '(cat ../../report.xml; head -c 51000000 /dev/zero | tr "\\0" " ") > "$TEST_JUNIT"',
        'head -c 100 ../../report.xml > "$TEST_JUNIT"',
        'mkdir "$TEST_JUNIT"',
        "true",
    ],
    ids=["large", "incomplete", "empty folder", "missing"],
)
def test_junit_xml_that_cannot_be_read(project: Project, recipe: str) -> None:
    project.write("report.xml", JUNIT)
    project.service("api", f"{recipe}; echo no database; exit 1")
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    target = project.target("unit api")
    assert (target["tests"], target["executed"], target["failed"]) == (None, None, [])
    assert "    no database" in done.stdout


def test_junit_xml_that_only_has_skipped_tests(project: Project) -> None:
    project.write("report.xml", "<testsuite><testcase name='a'><skipped/></testcase></testsuite>")
    project.service("api", 'cp ../../report.xml "$TEST_JUNIT"')
    done = project.run("--stage", "unit")
    assert (done.returncode, project.target("unit api")["state"]) == (5, "nothing ran")


def captured(project: Project, name: str) -> str:
    """Write a captured log and return the command that prints it from a service's folder."""
    with tarfile.open(CAPTURES) as archive:
        log = archive.extractfile(f"{name}.pipe.log")
        assert log
        (project.root / f"{name}.log").write_bytes(log.read())
    return f"cat ../../{name}.log"


def test_our_junit_xml_of_a_tool_without_events(project: Project) -> None:
    project.service("api", f"{captured(project, 'jest30-red')}; exit 1")
    project.service("web", f"{captured(project, 'go119-red')}; exit 1")
    assert project.run("--stage", "unit").returncode == 1
    suites = ElementTree.parse(project.latest / "junit.xml").getroot()
    names = ("name", "tests", "failures", "errors", "skipped")
    # Go does not print how many tests passed, so only the failed tests are known.
    assert [tuple(suite.get(name) for name in names) for suite in suites] == [
        ("unit api", "4", "2", "0", "1"),
        ("unit web", "2", "2", "0", "0"),
    ]
    cases = [case.get("name") for case in suites.iter("testcase")]
    assert cases == ["shop › b fails", "shop › c throws", "TestB/one", "TestC"]
    failure = suites.find("testsuite/testcase/failure")
    assert failure is not None and failure.text
    assert failure.text.splitlines()[-1] == "t/red.test.js:3"


def test_numbers_that_are_unknown_are_not_zero(project: Project) -> None:
    project.service("api", captured(project, "go119-green"))
    project.service("web", captured(project, "jest30-green"))
    done = project.run("--stage", "unit")
    assert plain(done.stdout).splitlines()[-1] == (
        "PASSED: 2 tests in 1 target, 1 target not counted (0.0s)"
    )
    api, web = project.target("unit api"), project.target("unit web")
    assert (api["tests"], api["executed"], web["tests"], web["executed"]) == (None, None, 3, 2)


#: Captures of runs that only skip tests. Their exit code is 0.
ONLY_SKIPPED = (
    "unittest-skipped",
    "node24-skipped-spec",
    "node24-skipped-tap",
    "mocha12-skipped-spec",
    "mocha12-skipped-dot",
    "jest30-skipped",
    "go127-skipped-v",
    "go127-skipped-json",
    "cargo195-skipped",
    "rspec312-skipped",
    "minitest-skipped",
    "testunit-skipped",
    "phpunit96-skipped",
)


def test_only_skipped_tests_are_nothing_ran(project: Project) -> None:
    for name in ONLY_SKIPPED:
        project.service(name, captured(project, name))
    done = project.run("--stage", "unit")
    assert done.returncode == 5
    states = {target["name"]: target["state"] for target in project.summary["targets"]}
    assert states == dict.fromkeys(ONLY_SKIPPED, "nothing ran")


def test_each_of_many_failed_targets_keeps_its_first_failure(project: Project) -> None:
    names = [f"service-{n:02}" for n in range(12)]
    reports = {
        "jest30-red": "shop › b fails",
        "go127-red-v": "TestB/one",
        "cargo195-red": "c",
        "phpunit96-red": "RedTest::testC",
    }
    noise = "for n in $(seq 400); do echo a long line of output $n; done"
    tests = {}
    for name, (capture, test) in zip(names, itertools.cycle(reports.items()), strict=False):
        project.service(name, f"{noise}; {captured(project, capture)}; {noise}; exit 1")
        tests[name] = test
    done = project.run("--stage", "unit")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) <= 60
    assert len(done.stdout.encode()) <= 4000
    for name in names:
        assert f"✗ unit {name} {tests[name]}\n" in done.stdout
        assert f"rerun: make -C services/{name} test-unit\n" in done.stdout
        assert re.search(rf"log: \.test-results/\S+/unit-{name}\.log\n", done.stdout)


def test_the_last_five_runs_are_kept(two: Project) -> None:
    for second in range(6):
        (two.root / f".test-results/20200101-00000{second}-1").mkdir(parents=True)
    two.write(".test-results/notes.txt", "mine")
    assert two.run("--stage", "unit").returncode == 0
    names = sorted(path.name for path in (two.root / ".test-results").iterdir())
    assert [name for name in names if name.startswith("2020")] == [
        "20200101-000002-1",
        "20200101-000003-1",
        "20200101-000004-1",
        "20200101-000005-1",
    ]
    assert "notes.txt" in names


def test_results_that_cannot_be_written_do_not_change_the_verdict(project: Project) -> None:
    project.service("api", "mkdir ../../.test-results/latest/summary.json")
    done = project.run("--stage", "unit")
    assert done.returncode == 0, done.stdout
    assert done.stderr.startswith("! cannot write the results: ")


def test_github_gets_annotations_and_a_summary(project: Project) -> None:
    project.pytest("api", test_a=FAILS.replace("3", "'50%,\\nof:it'"))
    page = project.root / "page.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    lines = project.run(
        "--stage", "unit", **env, GITHUB_WORKSPACE=str(project.root)
    ).stdout.splitlines()
    annotations = [line for line in lines if line.startswith("::error ")]
    assert len(annotations) == 1
    assert annotations[0].startswith(
        "::error file=services/api/tests/test_a.py,line=3,"
        "title=unit api%3A tests/test_a.py%3A%3Atest_two::AssertionError: assert (1 + 1) == '50%25"
    )
    assert plain(lines[-1]) == "FAILED: 1 of 2 tests in unit api (0.0s)"
    text = page.read_text()
    assert text.startswith("### FAILED: 1 of 2 tests in unit api\n")
    assert "rerun: make -C services/api test-unit TESTS=tests/test_a.py::test_two" in text
    # Gitea does not support annotations and would print them as text.
    done = project.run("--stage", "unit", **env, GITEA_ACTIONS="true")
    assert "::error" not in done.stdout


# SIGNALS ----------------------------------------------------------------------
CLEANS_UP = """
    trap 'sleep 0.3; touch ../../cleaned; exit 1' EXIT
    trap 'exit 130' INT TERM
    sleep 300 & echo $! > ../../helper.pid
    echo $$ > ../../target.pid
    touch ../../started
    wait
"""


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_lets_the_target_clean_up(two: Project, signum: int, code: int) -> None:
    two.service("api", CLEANS_UP)
    runner = two.start()
    two.wait_for("started")
    runner.send_signal(signum)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == code
    assert two.has("cleaned")
    assert not alive(two.root / "target.pid")
    assert not alive(two.root / "helper.pid"), "what a target leaves behind is ended too"
    lines = plain(output).splitlines()
    assert "  ✗ api interrupted 0.0s" in lines
    assert "○ Service Tests not run" in lines
    assert lines[-1] == f"INTERRUPTED by {signal.Signals(signum).name} (0.0s)"
    assert two.summary["exit"] == code


STUBBORN = """
    trap '' INT TERM
    echo $$ > ../../target.pid
    touch ../../started
    while :; do sleep 0.1; done
"""


def test_a_second_interrupt_kills_immediately(two: Project) -> None:
    two.service("api", STUBBORN)
    runner = two.start()
    two.wait_for("started")
    runner.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert runner.poll() is None
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=4)
    assert runner.returncode == 130
    assert not alive(two.root / "target.pid")


@pytest.mark.parametrize("polite", [False, True], ids=["never", "at the second signal"])
def test_a_target_that_ignores_signals_is_killed(two: Project, polite: bool) -> None:
    polite_trap = "trap '' INT; trap 'touch ../../asked; exit 1' TERM"
    script = STUBBORN.replace("trap '' INT TERM", polite_trap) if polite else STUBBORN
    two.replace(
        "scripts/test_runner/processes.py", "PATIENCE = (5.0, 2.0)", "PATIENCE = (0.5, 0.5)"
    )
    two.service("api", script)
    runner = two.start()
    two.wait_for("started")
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=20)
    assert runner.returncode == 143
    assert two.has("asked") == polite
    assert not alive(two.root / "target.pid")


def test_the_next_run_ends_the_processes_of_a_killed_run(two: Project) -> None:
    two.service("api", CLEANS_UP)
    runner = two.start()
    two.wait_for("started")
    runner.kill()
    runner.communicate()
    assert alive(two.root / "target.pid")
    assert two.run("--stage", "unit", "--service", "worker").returncode == 0
    assert not alive(two.root / "target.pid") and not alive(two.root / "helper.pid")
    assert not processes_of(two)


def test_a_closed_pipe_does_not_change_the_result(two: Project) -> None:
    runner = two.start()
    assert runner.stdout
    runner.stdout.close()
    assert runner.wait(timeout=30) == 0
    assert two.has("unit-api")


def test_ctrl_c_on_a_terminal(two: Project) -> None:
    two.service("api", CLEANS_UP)
    child = two.terminal()
    two.wait_for("started")
    child.sendintr()
    child.expect_exact("Stopping: ")
    child.expect_exact("\x1b[?25h")
    child.expect_exact("INTERRUPTED by SIGINT (")
    rest(child)
    child.close()
    assert child.exitstatus == 130
    assert two.has("cleaned")
    assert not alive(two.root / "target.pid")


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_ctrl_c_through_make_and_uv_counts_once(two: Project) -> None:
    two.write("Makefile", "test:\n\t@scripts/test-runner.py\n")
    two.service("api", CLEANS_UP)
    child = pexpect.spawn(
        "make",
        ["test"],
        cwd=str(two.root),
        env=two.environment(TERM="xterm"),
        encoding="utf-8",
        timeout=60,
    )
    two.wait_for("started", 60)
    child.sendintr()
    child.expect_exact("INTERRUPTED by SIGINT (")
    rest(child)
    assert two.has("cleaned"), "a second signal would have killed it before"
    assert not alive(two.root / "target.pid")


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
@pytest.mark.parametrize("program", ["make", "uv"])
def test_a_killed_make_or_uv_ends_the_tests(two: Project, program: str) -> None:
    two.write(
        "Makefile",
        "test:\n\t@echo $$PPID > make.pid; exec uv run -q --script scripts/test-runner.py\n",
    )
    two.service("api", CLEANS_UP + "\necho $PPID > /dev/null\n")
    log = (two.root / "log").open("w+b")
    env = two.environment()
    make = subprocess.Popen(["make", "test"], cwd=two.root, env=env, stdout=log, stderr=log)
    two.wait_for("started", 60)
    if program == "uv":
        children = Path(f"/proc/{make.pid}/task/{make.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
    else:
        make.kill()
    make.wait()
    two.wait_for("cleaned", 30)
    wait_until(lambda: not processes_of(two), 30)
    wait_until(lambda: "INTERRUPTED" in (two.root / "log").read_text(), 30)
    assert f"{program} was killed" in (two.root / "log").read_text()
    log.close()


def test_closing_the_terminal_ends_the_tests(two: Project) -> None:
    two.service("api", CLEANS_UP)
    child = two.terminal()
    two.wait_for("started")
    os.close(child.child_fd)
    two.wait_for("cleaned")
    wait_until(lambda: not alive(two.root / "target.pid"))
