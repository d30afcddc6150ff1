"""The result cache in whole runs, without Docker: what is run, what is not, and what is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.projects import Project, rest

from .test_runner import plain


class Cached(Project):
    """A project with a result cache of its own. Each run of `api` adds a line to the file `ran`."""

    @property
    def cache(self) -> Path:
        return self.root.parent / "cache"

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{"TEST_RESULT_CACHE": str(self.cache)} | more)

    def runs(self) -> int:
        """Return how often the tests of api ran, in all checkouts."""
        file = self.root.parent / "ran"
        return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.fixture
def rendered(render: Callable[..., Path]) -> Path:
    return render({"project_slug": "shop", "services": "api"})


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Cached:
    found = Cached(rendered, tmp_path / "shop")
    found.service("api", f"echo x >> '{tmp_path}/ran'")
    found.write("services/api/main.py", "one = 1\n")
    return found


def test_an_unchanged_target_is_not_run_again(project: Cached) -> None:
    first = project.run("--stage", "unit")
    assert plain(first.stdout).splitlines()[-1] == "PASSED: 1 target, tests not counted (0.0s)"
    assert project.target("unit api")["cache"] == "stored"
    again = project.run("--stage", "unit")
    assert (again.returncode, project.runs()) == (0, 1)
    lines = plain(again.stdout).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("✓ Unit Tests cached: api (passed ")
    assert lines[1] == "PASSED: 1 target, tests not counted, all cached (0.0s)"
    target = project.target("unit api")
    assert (target["state"], target["cache"]) == ("cached", "hit")
    assert target["cached"]["checkout"] == str(project.root)


def test_a_stage_with_a_target_that_runs_names_each_target(project: Cached) -> None:
    project.service("worker")
    project.run("--stage", "unit")
    project.write("services/worker/main.py", "two = 2\n")
    lines = plain(project.run("--stage", "unit").stdout).splitlines()
    assert lines[0] == "Unit Tests"
    assert lines[1].startswith("  ✓ api cached (passed ")
    assert lines[2] == "  ✓ worker 0.0s"
    assert lines[3] == "PASSED: 2 targets, tests not counted, 1 target cached (0.0s)"


def test_tests_of_a_cached_target_are_counted(project: Cached) -> None:
    project.pytest("web", test_x="import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip()\n")
    project.run("--stage", "unit", "--service", "web")
    said = project.run("--stage", "unit", "--service", "web").stdout
    assert "✓ Unit Tests cached: web 2/2 (passed " in said
    assert "PASSED: 1 test, all cached" in said
    target = project.target("unit web")
    assert (target["tests"], target["executed"], target["tool"]) == (2, 1, "pytest")
    suites = ElementTree.parse(project.latest / "junit.xml")
    [suite] = suites.iter("testsuite")
    assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("2", "1", "0")
    [about] = suite.iter("property")
    assert about.get("name") == "cached"
    events = project.run(
        "--stage", "unit", "--service", "web", "--output", "json"
    ).stdout.splitlines()
    assert [json.loads(line).get("state") for line in events] == [None, "cached", None]


def test_a_cached_stage_fits_80_columns(project: Cached) -> None:
    for name, tests in (("api", 24), ("frontend", 12), ("worker", 18)):
        suite = "".join(f"def test_{number}(): pass\n" for number in range(tests))
        project.pytest(name, test_x=suite)
    project.run("--stage", "unit")
    line = project.run("--stage", "unit").stdout.splitlines()[0]
    assert line.startswith("✓ Unit Tests cached: api 24/24, frontend 12/12, worker 18/18 (last ")
    assert len(line) <= 80


def test_targets_of_a_cached_stage_that_do_not_fit_are_counted(project: Cached) -> None:
    for name in ("web", "worker", "mail", "search"):
        project.pytest(name, test_x="def test_a(): pass\ndef test_b(): pass\n")
    project.run("--stage", "unit", TERM="xterm", COLUMNS="")

    def line(columns: int) -> str:
        said = rest(project.terminal("--stage", "unit", columns=columns, COLUMNS=""))
        return said.splitlines()[0]

    names = "api, mail 2/2, search 2/2, web 2/2, worker 2/2"
    assert line(100).startswith(f"✓ Unit Tests cached: {names} (last passed ")
    counted = line(80)
    assert counted.startswith("✓ Unit Tests cached: 5 targets, 8 tests (last passed ")
    assert len(counted) <= 80
    piped = project.run("--stage", "unit", TERM="xterm", COLUMNS="").stdout.splitlines()[0]
    assert piped == line(100)


def test_a_change_runs_the_target_and_is_named(project: Cached) -> None:
    project.run("--stage", "unit")
    project.write("services/api/main.py", "one = 2\n")
    project.write("services/api/data/new.json", "{}\n")
    said = project.run("--stage", "unit", "--explain-cache", COLOUR="red").stdout
    assert project.runs() == 2
    assert (
        "cache: unit api: changed: environment COLOUR, services/api/data/new.json, "
        "services/api/main.py" in said
    )
    said = project.run("--stage", "unit", "--explain-cache", COLOUR="red").stdout
    assert "cache: unit api: hit" in said


def test_checkouts_share_results(project: Cached, rendered: Path) -> None:
    project.run("--stage", "unit")
    other = Cached(rendered, project.root.parent / "shop-feature")
    shutil.rmtree(other.root / "scripts")
    shutil.copytree(project.root / "scripts", other.root / "scripts")
    shutil.copytree(project.root / "services", other.root / "services")
    said = other.run("--stage", "unit").stdout
    assert project.runs() == 1
    assert " in ../shop)" in said


def test_worktrees_share_results(project: Cached, rendered: Path) -> None:
    """A worktree has a file .git, which names another folder in each."""
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=all")):
        subprocess.run([*git, *command], cwd=project.root, check=True)
    project.run("--stage", "unit")
    runs = project.runs()
    tree = project.root.parent / "tree"
    subprocess.run([*git, "worktree", "add", "--quiet", tree], cwd=project.root, check=True)
    shutil.rmtree(tree / "scripts")
    other = Cached(rendered, tree)
    said = plain(other.run("--stage", "unit").stdout)
    assert "(passed " in said, said
    assert " in ../shop)" in said
    assert project.runs() == runs


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (("--fresh",), {}),
        (("--verbose",), {}),
        (("--fail-slow",), {}),
        ((), {"CI": "true"}),
        ((), {"GITEA_ACTIONS": "true"}),
        ((), {"ARGS": "-x"}),
        ((), {"TESTS": "tests/unit"}),
        ((), {"TEST_RESULT_CACHE": "off"}),
    ],
    ids=lambda value: " ".join(value) or "-",
)
def test_what_always_runs(project: Cached, options: tuple[str, ...], env: dict[str, str]) -> None:
    # With the same environment, so that only the rule prevents a hit.
    asked = {} if "ARGS" in env or "TESTS" in env or "TEST_RESULT_CACHE" in env else env
    project.run("--stage", "unit", "--cache", **asked)
    assert project.runs() == 1
    project.run("--stage", "unit", *options, **env)
    assert project.runs() == 2


def test_a_run_with_traces_neither_reads_nor_stores(project: Cached, tmp_path: Path) -> None:
    (tmp_path / "modules/opentelemetry").mkdir(parents=True)
    env = {"PYTHONPATH": str(tmp_path / "modules")}
    project.run("--stage", "unit", "--trace", **env)
    for _ in range(2):
        project.run("--stage", "unit", **env)
    assert project.runs() == 2
    project.run("--stage", "unit", "--trace", **env)
    assert project.runs() == 3


def test_ci_uses_the_cache_if_asked(project: Cached) -> None:
    for _ in range(2):
        project.run("--stage", "unit", "--cache", CI="true")
    assert project.runs() == 1


def test_a_service_can_opt_out_and_name_more_inputs(project: Cached) -> None:
    makefile = project.root / "services/api/Makefile"
    makefile.write_text("# test-cache: also ../words.txt\n" + makefile.read_text())
    words = project.root.parent / "words.txt"
    words.write_text("one\n")
    for _ in range(2):
        project.run("--stage", "unit")
    assert project.runs() == 1
    words.write_text("two\n")
    project.run("--stage", "unit")
    assert project.runs() == 2
    makefile.write_text("# test-cache: off\n" + makefile.read_text())
    for _ in range(2):
        project.run("--stage", "unit")
    assert project.runs() == 4
    assert project.target("unit api")["cache"] == "off in its Makefile"


def test_a_failure_is_not_stored_and_a_pass_after_it_is_flaky(project: Cached) -> None:
    project.service("api", f"echo x >> '{project.root.parent}/ran'; test -e /tmp/{os.getpid()}-ok")
    allowed = Path(f"/tmp/{os.getpid()}-ok")
    allowed.unlink(missing_ok=True)
    assert project.run("--stage", "unit").returncode == 1
    allowed.touch()
    try:
        said = project.run("--stage", "unit").stdout
        assert "flaky: unit api failed " in said
        assert " and passed now, with the same inputs" in said
        assert project.target("unit api")["flaky"].startswith("failed ")
        project.run("--stage", "unit")
        assert project.runs() == 3, "a flaky target is not stored"
    finally:
        allowed.unlink()


def test_a_failure_after_a_pass_is_flaky_and_drops_the_entry(project: Cached) -> None:
    allowed = project.root.parent / "ok"
    project.service("api", f"echo x >> '{project.root.parent}/ran'; test -e '{allowed}'")
    allowed.touch()
    project.run("--stage", "unit")
    allowed.unlink()
    assert project.run("--stage", "unit").returncode == 0, "the file is outside the project"
    done = project.run("--stage", "unit", "--fresh")
    assert done.returncode == 1
    assert "flaky: unit api passed " in done.stdout
    assert project.run("--stage", "unit").returncode == 1, "the entry is gone"


def test_a_pass_with_inputs_that_change_during_the_run_is_not_stored(project: Cached) -> None:
    # The content at the end is that of the start, but the tests saw another one.
    project.service(
        "api",
        f"echo x >> '{project.root.parent}/ran'; echo changed > main.py; echo 'one = 1' > main.py",
    )
    for _ in range(2):
        project.run("--stage", "unit")
    assert project.runs() == 2
    assert project.target("unit api")["cache"] == "not stored: its inputs changed during the run"


def test_a_repeated_test_is_not_stored(project: Cached) -> None:
    test = """
        from pathlib import Path
        def test_it():
            seen = Path("/tmp/PID-seen")
            if not seen.exists():
                seen.touch()
                raise AssertionError
            seen.unlink()
        """.replace("PID", str(os.getpid()))
    project.pytest("web", test_x=test)
    project.replace("services/web/Makefile", "-p xdist", "-p rerunfailures --reruns 1")
    said = project.run("--service", "web").stdout
    assert "PASSED" in said
    assert project.target("unit web")["cache"].startswith("not stored: a test passed only when")


def test_a_target_without_a_test_is_not_stored(project: Cached) -> None:
    project.pytest("web", test_x="import pytest\ndef test_b(): pytest.skip()\n")
    for _ in range(2):
        assert project.run("--service", "web").returncode == 5
    assert project.target("unit web")["state"] == "nothing ran"


def test_broken_entries_mean_that_the_target_runs(project: Cached) -> None:
    project.run("--stage", "unit")
    for number, text in enumerate(("", "{}", "nonsense\n{}", "\0" * 100), start=2):
        [entry] = project.cache.glob("*.pass")
        entry.write_text(text)
        assert project.run("--stage", "unit").returncode == 0
        assert project.runs() == number


def test_an_input_that_cannot_be_read_means_that_the_target_runs(project: Cached) -> None:
    big = project.root.parent / "big"
    big.mkdir()
    for number in range(5001):
        (big / str(number)).touch()
    (project.root / "services/api/big").symlink_to(big)
    for _ in range(2):
        assert project.run("--stage", "unit").returncode == 0
    assert project.runs() == 2
    assert project.target("unit api")["cache"].endswith("has more than 5000 files")


def test_a_folder_that_cannot_be_written_does_not_change_the_verdict(project: Cached) -> None:
    project.cache.write_text("this is a file")
    for _ in range(2):
        assert project.run("--stage", "unit").returncode == 0
    assert project.runs() == 2


def test_several_runs_at_once_agree(project: Cached, rendered: Path) -> None:
    others = []
    for number in range(4):
        other = Cached(rendered, project.root.parent / f"copy-{number}")
        shutil.rmtree(other.root)
        shutil.copytree(project.root, other.root)
        others.append(other.start("--stage", "unit"))
    for process in others:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    before = project.runs()
    assert "all cached" in project.run("--stage", "unit").stdout
    assert project.runs() == before
    assert not list(project.cache.glob("*.new"))


def test_git_says_nothing_about_the_cache(project: Cached) -> None:
    """The cache is outside the checkout, so it is never committed."""
    subprocess.run(["git", "init", "--quiet"], cwd=project.root, check=True)
    project.write(".gitignore", ".test-results/\n__pycache__/\n")
    before = subprocess.check_output(["git", "status", "--porcelain"], cwd=project.root)
    project.run("--stage", "unit")
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=project.root) == before
