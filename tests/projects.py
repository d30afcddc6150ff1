"""Small projects in which tests run the scripts of generated projects: processes and terminals."""

from __future__ import annotations

import atexit
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pexpect

#: Variables that change the runner's output, or which tests it runs.
UNSET = frozenset(
    "AI_AGENT AGENT ARGS AUGMENT_AGENT CI CLAUDECODE CODEX_SANDBOX CODEX_THREAD_ID CURSOR_AGENT "
    "FORCE_COLOR GEMINI_CLI GITEA_ACTIONS GITHUB_ACTIONS GITHUB_STEP_SUMMARY GOOSE_PROVIDER "
    "MAKEFLAGS MAKELEVEL NO_COLOR OPENCODE PYTEST_ADDOPTS PYTEST_CURRENT_TEST REPL_ID TERM TESTS TEST_INSTANCE_ID "
    "TEST_OUTPUT TEST_RUN TEST_RUNNER_ROOT".split()
)


@cache
def compiled_scripts(rendered: Path) -> Path:
    """Return a copy of a project's scripts with bytecode, so that not every test compiles them."""
    scripts = Path(tempfile.mkdtemp(prefix="scripts-")) / "scripts"
    atexit.register(shutil.rmtree, scripts.parent, ignore_errors=True)
    shutil.copytree(rendered / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(scripts, quiet=1)
    return scripts


class Project:
    """A folder with the scripts of a rendered project, to which a test adds files."""

    def __init__(self, rendered: Path, root: Path, slug: str = "shop") -> None:
        self.root, self.slug = root, slug
        shutil.copytree(compiled_scripts(rendered), root / "scripts")
        self.replace("scripts/test_runner/project.py", 'SLUG = "shop"', f'SLUG = "{slug}"')

    def write(self, name: str, text: str, *, executable: bool = False) -> Path:
        """Write a file and remove the indentation of its text."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        if executable:
            path.chmod(0o755)
        return path

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not contain {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def makefile(self, folder: str, **recipes: str) -> None:
        """Write a Makefile. Each recipe is one shell script; `_` in a target's name becomes a hyphen."""
        lines = ["SHELL := /bin/bash", ".ONESHELL:"]
        for name, recipe in recipes.items():
            target = name.replace("_", "-")
            script = textwrap.dedent(recipe).strip("\n").replace("$", "$$")
            lines += [
                f".PHONY: {target}",
                f"{target}:",
                textwrap.indent("@set -e\n" + script, "\t"),
            ]
        path = self.root / folder / "Makefile"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def service(self, name: str, unit: str = "true", **recipes: str) -> None:
        """Write a service that has unit tests but no stack."""
        self.makefile(f"services/{name}", test_unit=unit, **recipes)

    def pytest(self, name: str, **files: str) -> None:
        """Write a service whose unit tests run with this session's pytest.

        They run without this session's plugins, which take longer to load than the tests take.
        """
        pytest = f"{sys.executable} -m pytest -p no:cacheprovider -p xdist"
        recipe = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {pytest} $(TESTS) $(ARGS)"
        self.write(f"services/{name}/Makefile", f".PHONY: test-unit\ntest-unit:\n\t{recipe}\n")
        for file, text in files.items():
            self.write(f"services/{name}/tests/{file}.py", text)

    @property
    def command(self) -> list[str]:
        """The command that starts the runner."""
        return [sys.executable, "scripts/test-runner.py"]

    def environment(self, **more: str) -> dict[str, str]:
        """Return this process's environment without the variables that change the runner."""
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        # Most tests run a project several times. Those of the cache choose a folder.
        return env | {"TEST_RESULT_CACHE": "off"} | more

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the runner and wait for it."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.root,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start the runner."""
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.root,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def terminal(
        self, *arguments: str, rows: int = 24, columns: int = 80, **env: str
    ) -> pexpect.spawn[str]:
        """Start the runner in its own terminal."""
        return pexpect.spawn(
            self.command[0],
            [*self.command[1:], *arguments],
            cwd=str(self.root),
            env=self.environment(**{"TERM": "xterm", **env}),
            dimensions=(rows, columns),
            encoding="utf-8",
            timeout=60,
        )

    @property
    def latest(self) -> Path:
        """The folder with the results of the last run."""
        return self.root / ".test-results/latest"

    @property
    def summary(self) -> dict[str, Any]:
        """The machine-readable summary of the last run."""
        found: dict[str, Any] = json.loads((self.latest / "summary.json").read_text())
        return found

    def target(self, title: str) -> dict[str, Any]:
        """Return the summary of a target of the last run, such as `unit api`."""
        stage, name = title.split()
        targets: list[dict[str, Any]] = self.summary["targets"]
        [found] = [one for one in targets if (one["stage"], one["name"]) == (stage, name)]
        return found

    def has(self, name: str) -> bool:
        """Return whether a file exists."""
        return (self.root / name).exists()

    def wait_for(self, name: str, seconds: float = 60) -> None:
        """Wait until a file exists."""
        wait_until(lambda: self.has(name), seconds)


#: The kinds of Docker resources, with the command that lists them.
LISTINGS = {
    "containers": ("ps", "--all"),
    "networks": ("network", "ls"),
    "volumes": ("volume", "ls"),
    "images": ("image", "ls"),
}

#: Starts, but does not become healthy during a test.
SLOW = """
    slow:
      image: redis:8-alpine
      labels: *labels
      command: redis-server --save ""
      healthcheck: {test: ["CMD", "false"], interval: 1s, retries: 1000, start_period: 1000s}
"""

REDIS = """
    cache:
      image: redis:8-alpine
      command: redis-server --save "" --appendonly no
      labels: {<<: *labels, test.url: "TEST_CACHE_URL=redis://HOST:6379/0"}
      ports: ["127.0.0.1::6379"]
      healthcheck: {<<: *fast, test: [CMD, redis-cli, ping]}
"""


class Stacks(Project):
    """A project whose test stacks use small images."""

    def stack(self, scope: str, services: str) -> Path:
        """Write the compose file of a scope. Its services can use the anchors `labels` and `fast`."""
        service = "" if scope == "full" else f"services/{scope}/"
        folder = self.root / f"{service}deploy/test"
        folder.mkdir(parents=True, exist_ok=True)
        head = f"""
            name: {self.slug}-test-${{TEST_INSTANCE_ID:?}}-{scope}
            x-labels: &labels
              test.project: {self.slug}
              test.instance: ${{TEST_INSTANCE_ID}}
              test.scope: {scope}
            x-image-labels: &image-labels
              test.project: {self.slug}
              test.instance: ${{TEST_INSTANCE_ID}}
            x-fast: &fast {{interval: 1s, timeout: 5s, retries: 1, start_period: 30s,
                            start_interval: 200ms}}
            networks: {{default: {{labels: *labels}}}}
            services:
        """
        services = services.replace("SLUG", self.slug)
        body = textwrap.indent(textwrap.dedent(services).strip(), "  ")
        (folder / "docker-compose.yml").write_text(f"{textwrap.dedent(head).strip()}\n{body}\n")
        return folder

    def script(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.root / "scripts" / "stack.py"), *arguments]

    def of(self, instance: str = "main-000001") -> dict[str, str]:
        return self.environment(TEST_INSTANCE_ID=instance)

    def call(
        self, *arguments: str, instance: str = "main-000001", **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.script(*arguments),
            env=self.of(instance) | env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def left(self, scope: str = "", instance: str = "") -> dict[str, list[str]]:
        """List this project's resources in the engine by kind. Kinds without resources are left out."""
        found = {}
        for kind, command in LISTINGS.items():
            output = docker(*command, "--format", "{{json .}}")
            things = [json.loads(line) for line in output.splitlines()]
            names = [
                thing.get("Names") or thing.get("Name") or thing["Repository"] for thing in things
            ]
            prefix = f"{self.slug}-test-{instance}-{scope}" if instance else f"{self.slug}-test-"
            mine = [name for name in names if name.startswith(prefix)]
            if mine:
                found[kind] = mine
        return found


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


@contextmanager
def stacks_of(rendered: Path, folder: Path) -> Iterator[Stacks]:
    """Yield a project with a unique slug; afterwards remove the resources that a test left behind."""
    project = Stacks(rendered, folder / "shop", f"t{uuid.uuid4().hex[:10]}")
    yield project
    left = project.left()
    for kind, command in (
        ("containers", ("rm", "--force", "--volumes")),
        ("networks", ("network", "rm")),
        ("volumes", ("volume", "rm", "--force")),
        ("images", ("image", "rm", "--force")),
    ):
        for name in left.get(kind, []):
            # A busy engine may still be detaching a removed container from its network.
            wait_until(partial(succeeds, "docker", *command, name))


def succeeds(*command: str) -> bool:
    """Run a command and return whether it succeeds."""
    return not subprocess.run(command, capture_output=True).returncode


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"the condition was still false after {seconds} seconds"
        time.sleep(0.02)


def rest(child: pexpect.spawn[str]) -> str:
    """Return what a program on a terminal writes from now until it ends."""
    child.expect(pexpect.EOF)
    assert isinstance(child.before, str)
    return child.before


def alive(pid_file: Path) -> bool:
    """Return whether the process whose id is in a file runs. A zombie does not."""
    status = Path(f"/proc/{pid_file.read_text().strip()}/status")
    try:
        return "\nState:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(project: Project) -> list[str]:
    """Return the command lines of the processes whose environment contains the project's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (path / "environ").read_bytes(), (path / "cmdline").read_bytes()
        except OSError:
            continue
        if str(project.root).encode() in environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
