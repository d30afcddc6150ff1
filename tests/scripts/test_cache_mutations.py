"""Mutates a generated project in a thousand ways, and asks the result cache which targets would run.

The table of what a mutation affects is written by hand, from the stacks of the project: it does not
use the code of the cache. A hit on an affected target would be a false pass. Docker is replaced by a
substitute that reads the compose files with PyYAML.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: The services of each service's test stack: `api` needs `worker`, and `frontend` needs `api`.
ANSWERS = {
    "project_slug": "shop",
    "services": "api, worker, frontend",
    "database": "postgres",
    "cache": "redis",
}
STACKS = {"api": {"api", "worker"}, "worker": {"worker"}, "frontend": {"frontend", "api"}}
TARGETS = frozenset({f"{stage} {name}" for stage in ("unit", "service") for name in STACKS}) | {
    "integration full"
}

#: Runs in the project: answers each line of input with the titles of the targets that are cached.
DRIVER = """
import json, os, re, sys
from pathlib import Path
import yaml
sys.path.insert(0, "scripts")
from test_runner import cache, targets, fingerprint
from test_runner.project import ROOT

class Engine:
    ids = {}
    def config(self, scope):
        folder = ROOT / ("" if scope == "full" else f"services/{scope}") / "deploy/test"
        def load(file):
            text = re.sub(r"\\$\\{(\\w+)[^}]*\\}", lambda m: os.environ.get(m[1], ""), file.read_text())
            return yaml.safe_load(text) or {}
        found = load(folder / "docker-compose.yml")
        override = folder / "docker-compose.override.yml"
        if override.exists():
            for name, service in (load(override).get("services") or {}).items():
                found["services"].setdefault(name, {}).update(service)
        for service in found["services"].values():
            if "build" in service:
                service["build"]["context"] = str((folder / service["build"]["context"]).resolve())
                service["build"].setdefault("dockerfile", "Dockerfile")
        return found
    def images(self, names):
        return {name: self.ids.get(name, "id") for name in names if self.ids.get(name) != "gone"}
    def base_images(self, names):
        return {name: self.ids[name] for name in names if self.ids.get(name, "gone") != "gone"}
    def about(self):
        return "engine"

base = dict(os.environ)
for line in sys.stdin:
    order = json.loads(line)
    os.environ.clear()
    os.environ.update(base | order.get("env", {}))
    Engine.ids = order.get("images", {})
    targets.dry_run.cache_clear()
    found = targets.find([], [])
    run = cache.Cache(found, engine=Engine())
    run.look_up()
    if order.get("store"):
        for target in found:
            parts = run.found[target.title][0]
            passed = cache.Pass(order["store"], str(ROOT), 1.0, 1, 1, "pytest")
            run.store.write(fingerprint.key_of(parts), passed, parts=parts, files={})
    run.memo.save()
    print(json.dumps({t.title: t.cache for t in found}), flush=True)
"""


@dataclass
class Mutation:
    """A change of the project, with what it affects. `undo` restores the project."""

    name: str
    affected: set[str]
    undo: Callable[[], None] = lambda: None
    env: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)


class Subject:
    """The project, and the process that answers for its cache."""

    def __init__(self, project: Path, outside: Path, rng: random.Random) -> None:
        self.project, self.outside, self.rng = project, outside, rng
        env = {
            "PATH": f"{outside}/bin:/usr/bin:/bin",
            "HOME": str(outside),
            "TEST_RESULT_CACHE": str(outside / "cache"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            cwd=project,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: Any) -> dict[str, str]:
        """Return what the cache says about each target."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the process has ended"
        found: dict[str, str] = json.loads(line)
        return found

    def hits(self, **order: Any) -> set[str]:
        return {title for title, said in self.ask(**order).items() if said == "hit"}

    # WHAT CAN CHANGE A VERDICT ------------------------------------------------
    def random_file(self, folder: str) -> Path:
        files = [
            path
            for path in sorted((self.project / folder).rglob("*"))
            if path.is_file() and not path.is_symlink() and not IGNORED.intersection(path.parts)
        ]
        return self.rng.choice(files)

    def of_service(self, name: str) -> set[str]:
        stacks = {f"service {other}" for other, stack in STACKS.items() if name in stack}
        return {f"unit {name}", "integration full", *stacks}

    def mutate(self) -> Mutation:
        """Make a random change that can affect a verdict."""
        kinds = [self.in_service] * 8 + [
            *(self.at_root, self.at_root, self.at_root, self.integration_tests),
            *(self.environment, self.image, self.python, self.package, self.tool, self.linked),
            *(self.stub, self.node_package, self.empty_folder, self.lock_file, self.sibling),
        ]
        return self.rng.choice(kinds)()

    def in_service(self) -> Mutation:
        name = self.rng.choice(sorted(STACKS))
        return self.of_file(f"services/{name}", self.of_service(name))

    def at_root(self) -> Mutation:
        name = self.rng.choice(
            ["Makefile", "Makefile.local", ".env", "ruff.toml", "conftest.py", "deploy/test/.env"]
            + ["scripts/test-runner.py", "data/words.txt", ".dockerignore", ".python-version"]
            + ["deploy/test/docker-compose.yml", "deploy/test/docker-compose.override.yml"]
        )
        return self.write(self.project / name, set(TARGETS))

    def stub(self) -> Mutation:
        return self.of_file("deploy/test/stub", set(TARGETS))

    def integration_tests(self) -> Mutation:
        return self.of_file("tests/integration", {"integration full"})

    def lock_file(self) -> Mutation:
        name, file = self.rng.choice(
            [("api", "uv.lock"), ("worker", "uv.lock"), ("frontend", "package-lock.json")]
        )
        return self.write(self.project / f"services/{name}/{file}", self.of_service(name))

    def of_file(self, folder: str, affected: set[str]) -> Mutation:
        """Change, add, delete, rename or replace a file of a folder."""
        path = self.random_file(folder)
        how = self.rng.choice(
            ["append", "flip", "delete", "rename", "mode", "add", "ignored", "link", "truncate"]
            + ["same-size", "hidden", "override", "swap"]
        )
        relative = path.relative_to(self.project)
        content, info = path.read_bytes(), path.stat()

        def restore() -> None:
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            path.chmod(info.st_mode)
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))

        name = f"{how} {relative}"
        if how == "append":
            path.write_bytes(content + b"\n# more\n")
        elif how in ("flip", "same-size"):
            at = self.rng.randrange(max(1, len(content)))
            byte = bytes([content[at] ^ 1]) if content else b"x"
            path.write_bytes(content[:at] + byte + content[at + 1 :])
            if how == "same-size":  # As an editor or a tool that keeps the time of a file.
                os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
        elif how == "truncate":
            path.write_bytes(content[: len(content) // 2] if len(content) > 1 else b"more")
        elif how == "delete":
            path.unlink()
        elif how == "rename":
            new = path.with_name(f"renamed-{path.name}")
            path.rename(new)

            def rename_back() -> None:
                new.rename(path)

            return Mutation(name, affected, rename_back)
        elif how == "mode":
            path.chmod(info.st_mode ^ 0o100)
        elif how == "link":
            path.unlink()
            path.symlink_to(self.outside / "data.txt")
        elif how == "swap":
            other = self.random_file(folder)
            theirs = other.read_bytes()
            if theirs == content:
                return self.of_file(folder, affected)
            path.write_bytes(theirs)
            other.write_bytes(content)

            def swap_back() -> None:
                path.write_bytes(content)
                other.write_bytes(theirs)

            return Mutation(f"{name} {other.relative_to(self.project)}", affected, swap_back)
        else:
            new_names = {
                "add": "added.json",
                "ignored": "ignored.env.local",
                "hidden": ".hidden",
                "override": "docker-compose.override.yml",
            }
            return self.write(path.with_name(new_names[how]), affected)
        return Mutation(name, affected, restore)

    def write(self, path: Path, affected: set[str]) -> Mutation:
        """Write a file, which may exist."""
        before = path.read_bytes() if path.exists() else None
        times = path.stat().st_mtime_ns if path.exists() else 0
        new_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((before or b"") + b"\n# %d\n" % self.rng.randrange(10**9))

        def restore() -> None:
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)
                os.utime(path, ns=(times, times))
            if new_folder:
                path.parent.rmdir()

        return Mutation(f"write {path.relative_to(self.project)}", affected, restore)

    def empty_folder(self) -> Mutation:
        name = self.rng.choice(sorted(STACKS))
        folder = self.project / f"services/{name}/uploads"
        folder.mkdir()
        return Mutation(f"folder in {name}", self.of_service(name), folder.rmdir)

    def environment(self) -> Mutation:
        name = self.rng.choice(
            ["LANG", "TZ", "DATABASE_URL", "PYTEST_ADDOPTS", "NODE_OPTIONS", "HOME", "FEATURE_X"]
            + ["TERM", "COLORTERM", "COLUMNS"]
            + ["PYTHONPATH", "PYTHONHASHSEED", "HTTP_PROXY", "POSTGRES_PASSWORD", "AWS_REGION"]
        )
        value = str(self.rng.randrange(10**6))
        return Mutation(f"environment {name}", set(TARGETS), env={name: value})

    def image(self) -> Mutation:
        every = {f"service {name}" for name in STACKS} | {"integration full"}
        with_api = {"service api", "service frontend", "integration full"}
        image, affected = self.rng.choice(
            [
                ("postgres:18-alpine", with_api),
                ("redis:8-alpine", every - {"service frontend"} | with_api),
                (self.base("api"), with_api | {"service worker"}),
                (self.base("frontend"), {"service frontend", "integration full"}),
                (self.base("stub"), with_api),
            ]
        )
        new = self.rng.choice(["another", "gone"])
        return Mutation(f"image {image} {new}", affected, images={image: new})

    def base(self, name: str) -> str:
        folder = "deploy/test/stub" if name == "stub" else f"services/{name}"
        text = (self.project / folder / "Dockerfile").read_text()
        return [line.split()[1] for line in text.splitlines() if line.startswith("FROM ")][
            -1 if name == "frontend" else 0
        ]

    def python(self) -> Mutation:
        """Another interpreter behind the same path."""
        name = self.rng.choice(["api", "worker"])
        link = self.project / f"services/{name}/.venv/bin/python"
        link.unlink()
        link.symlink_to(self.outside / "python-b")

        def restore() -> None:
            link.unlink()
            link.symlink_to(self.outside / "python-a")

        return Mutation(f"interpreter of {name}", self.of_service(name), restore)

    def package(self) -> Mutation:
        """A package that was edited, added or removed by hand in a virtual environment."""
        name = self.rng.choice(["api", "worker"])
        site = f"services/{name}/.venv/lib/python3/site-packages"
        if self.rng.random() < 0.5:
            return self.write(self.project / site / "lib/__init__.py", self.of_service(name))
        new = self.project / site / f"extra{self.rng.randrange(1000)}-1.dist-info"
        new.mkdir()
        (new / "METADATA").touch()
        return Mutation(f"package in {name}", self.of_service(name), lambda: shutil.rmtree(new))

    def node_package(self) -> Mutation:
        file = self.rng.choice(["lib/index.js", ".package-lock.json", "new/index.js"])
        modules = self.project / "services/frontend/node_modules"
        mutation = self.write(modules / file, self.of_service("frontend"))
        restore = mutation.undo

        def install_again() -> None:
            restore()
            time.sleep(0.02)
            os.utime(modules / ".package-lock.json")  # A package manager writes it last.

        mutation.undo = install_again
        return mutation

    def tool(self) -> Mutation:
        """A new version of a tool on PATH."""
        name, affected = self.rng.choice(
            [
                ("uv", set(TARGETS) - {"unit frontend", "service frontend"}),
                ("npm", {"unit frontend", "service frontend"}),
                ("node", {"unit frontend", "service frontend"}),
            ]
        )
        path = self.outside / "bin" / name
        before = path.read_bytes()
        path.write_bytes(before + b"# new\n")

        def restore() -> None:
            path.write_bytes(before)
            self.ask(store=time.time())  # Nothing can restore the time of its change.

        return Mutation(f"tool {name}", affected, restore)

    def linked(self) -> Mutation:
        """The target of a symbolic link, outside the project."""
        path = self.outside / self.rng.choice(["shared.json", "folder/deep/file.txt"])
        before = path.read_bytes()
        path.write_bytes(before + b"x")
        return Mutation(
            f"link to {path.name}",
            self.of_service("worker"),
            lambda: void(path.write_bytes(before)),
        )

    def sibling(self) -> Mutation:
        """The source of a service that another one uses by its path, without a stack."""
        test = self.project / "services/worker/tests/unit/test_sibling.py"
        assert "../frontend" in test.read_text()
        affected = self.of_service("frontend") | {"unit worker", "service worker"}
        return self.of_file("services/frontend/src", affected)

    # WHAT CANNOT --------------------------------------------------------------
    def neutral(self) -> Mutation:
        """Make a random change that cannot affect all verdicts."""
        kind = self.rng.choice(
            ["README.md", "docs/guide.md", "LICENSE", "renovate.json", "deploy/dev/.env"]
            + ["deploy/prod/.env.example", ".github/ISSUE_TEMPLATE.md", ".git/index"]
            + ["services/api/__pycache__/x.pyc", "services/worker/.pytest_cache/v"]
            + [".test-results/x/summary.json", "mtime", "mtime", "mtime", "environment"]
            + ["service", "service", "service", "worktree"]
        )
        if kind == "mtime":
            path = self.random_file(self.rng.choice(["services", "scripts", "tests", "deploy"]))
            os.utime(path)
            return Mutation(f"mtime of {path.name}", set())
        if kind == "environment":
            name = self.rng.choice(["PWD", "SHLVL", "WINDOWID", "TMUX_PANE", "SSH_AUTH_SOCK"])
            return Mutation(f"environment {name}", set(), env={name: "x"})
        if kind == "service":
            # `worker` names frontend's folder in a test, so it is left out here.
            name = self.rng.choice(["api", "worker"])
            return self.of_file(f"services/{name}", self.of_service(name))
        if kind == "worktree":
            folder = self.project / ".worktrees/x"
            (folder / "services").mkdir(parents=True)
            (folder / ".git").write_text(f"gitdir: {self.project}/.git/worktrees/x\n")
            (folder / "services/new.py").touch()
            # The folder .worktrees itself stays, as in a project that has worktrees there.
            return Mutation(kind, set(), lambda: shutil.rmtree(folder))
        return self.write(self.project / kind, set())


IGNORED = {"__pycache__", ".venv", "node_modules", ".pytest_cache"}


def void(_: object) -> None:
    """Ignore a result."""


@pytest.fixture
def subject(
    render: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Subject]:
    """Yield a project in which every target is cached."""
    seed = getattr(request, "param", 0)
    project, outside = tmp_path / "shop", tmp_path / "outside"
    shutil.copytree(render(ANSWERS), project, symlinks=True)
    (outside / "bin").mkdir(parents=True)
    for name in ("uv", "npm", "node"):
        tool = outside / "bin" / name
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        os.utime(tool, ns=(10**18, 10**18))
    for name in ("python-a", "python-b", "data.txt", "shared.json", "folder/deep/file.txt"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text(name)
    for name in ("api", "worker"):
        venv = project / f"services/{name}/.venv"
        (venv / "bin").mkdir(parents=True)
        (venv / "pyvenv.cfg").write_text("version = 3\n")
        (venv / "bin/python").symlink_to(outside / "python-a")
        (venv / "lib/python3/site-packages/lib").mkdir(parents=True)
        (venv / "lib/python3/site-packages/lib/__init__.py").write_text("one = 1\n")
        (project / f"services/{name}/uv.lock").touch()
    modules = project / "services/frontend/node_modules"
    (modules / "lib").mkdir(parents=True)
    (modules / "new").mkdir()
    (modules / "lib/index.js").write_text("1\n")
    (modules / ".package-lock.json").write_text("{}\n")
    for name in ("docs", "services/api/__pycache__", "services/worker/.pytest_cache", ".git"):
        (project / name).mkdir()
    (project / ".worktrees").mkdir()
    (project / ".test-results/x").mkdir(parents=True)
    (project / "services/worker/shared.json").symlink_to(outside / "shared.json")
    (project / "services/worker/shared").symlink_to(outside / "folder")
    (project / "services/worker/tests/unit/test_sibling.py").write_text(
        'HERE = "../frontend/src/main.ts"\n'
    )
    # Files that were written just now are always read again. Older ones come from the memo.
    time.sleep(2.1)
    found = Subject(project, outside, random.Random(seed))
    try:
        said = found.ask(store=time.time())
        assert set(said) == TARGETS, said
        assert set(said.values()) == {"missed"}, said
        assert found.hits() == TARGETS
        yield found
    finally:
        found.process.communicate()


@contextmanager
def applied(mutation: Mutation) -> Iterator[Mutation]:
    try:
        yield mutation
    finally:
        mutation.undo()


def false_passes(subject: Subject, count: int) -> list[str]:
    """Mutate the project, and return each target that would not run although it is affected."""
    found = []
    for number in range(count):
        with applied(subject.mutate()) as mutation:
            hits = subject.hits(env=mutation.env, images=mutation.images)
            wrong = sorted(hits & mutation.affected)
            if wrong:
                found.append(f"{number}: {mutation.name}: {', '.join(wrong)}")
        assert subject.hits() == TARGETS, f"{number}: {mutation.name} was not undone"
    return found


def hits_after_neutral(subject: Subject, count: int) -> tuple[int, int, list[str]]:
    """Return how many unaffected targets would not run, how many there were, and the others."""
    hit = total = 0
    missed = []
    for _ in range(count):
        with applied(subject.neutral()) as mutation:
            said = subject.hits(env=mutation.env)
            expected = TARGETS - mutation.affected
            hit, total = hit + len(said & expected), total + len(expected)
            assert not said & mutation.affected, mutation.name
            if expected - said:
                missed.append(f"{mutation.name}: {', '.join(sorted(expected - said))}")
        # A link to a file that was replaced is another file, so its time is new.
        assert subject.hits() == TARGETS, f"{mutation.name} was not undone"
    return hit, total, missed


@pytest.mark.parametrize("subject", [1], indirect=True)
def test_a_sample_of_mutations_never_hits(subject: Subject) -> None:
    assert false_passes(subject, 60) == []


@pytest.mark.parametrize("subject", [2], indirect=True)
def test_a_sample_of_neutral_changes_mostly_hits(subject: Subject) -> None:
    hit, total, missed = hits_after_neutral(subject, 20)
    assert hit >= 0.9 * total, missed


@pytest.mark.drills
@pytest.mark.parametrize("subject", range(10, 20), indirect=True)
def test_a_thousand_mutations_never_hit(subject: Subject) -> None:
    assert false_passes(subject, 100) == []


@pytest.mark.drills
@pytest.mark.parametrize("subject", range(20, 24), indirect=True)
def test_two_hundred_neutral_changes_mostly_hit(subject: Subject) -> None:
    hit, total, missed = hits_after_neutral(subject, 50)
    print(f"{hit} of {total} hit; not: {missed}")
    assert hit >= 0.9 * total, missed
