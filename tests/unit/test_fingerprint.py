"""The inputs of a target: files, packages, images and places outside the project."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def fingerprint(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("fingerprint")


@pytest.fixture(scope="module")
def stack_inputs(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("stack_inputs")


class Folder:
    """A folder whose digest is compared before and after a change."""

    def __init__(self, fingerprint: ModuleType, root: Path) -> None:
        self.module, self.root = fingerprint, root
        root.mkdir()
        self.memo = root.parent / "memo.json"

    def write(self, name: str, text: str = "x") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def tree(self, **options: Any) -> Any:
        words = self.module.words_of(["api", "worker"], [])
        inputs = self.module.Inputs(self.module.Memo(self.memo, words), None, self.root, {})
        found = inputs.walk(self.root, **options)
        inputs.memo.save()
        return found

    def digest(self, **options: Any) -> str:
        return str(self.tree(**options).digest)


@pytest.fixture
def folder(fingerprint: ModuleType, tmp_path: Path) -> Folder:
    return Folder(fingerprint, tmp_path / "folder")


@pytest.fixture
def any_age(runner: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the memo accept new files too, because no call can set the time when a file changed."""
    monkeypatch.setattr(runner("memo"), "RACY", -1)


@pytest.mark.usefixtures("any_age")
def test_the_memo_detects_a_change_that_keeps_size_and_time(folder: Folder) -> None:
    path = folder.write("data.txt", "one")
    os.utime(path, (1, 1))
    before = folder.digest()
    assert folder.memo.exists()
    assert folder.digest() == before
    # The clock of a file system may stand still for some milliseconds.
    time.sleep(0.02)
    path.write_text("two")
    os.utime(path, (1, 1))
    assert folder.digest() != before


def test_a_file_that_was_just_written_is_not_in_the_memo(folder: Folder) -> None:
    folder.write("data.txt")
    folder.digest()
    assert not folder.memo.exists()


@pytest.mark.usefixtures("any_age")
def test_a_broken_memo_is_ignored(folder: Folder) -> None:
    folder.write("data.txt")
    before = folder.digest()
    text = folder.memo.read_text()
    for broken in ("", "{}", text.replace("data.txt", "date.txt"), text[:-20], "\0"):
        folder.memo.write_text(broken)
        assert folder.digest() == before


@pytest.mark.parametrize(
    "name",
    ["__pycache__/a.pyc", ".pytest_cache/x", ".git/index", ".coverage", ".main.py.swp"],
)
def test_output_of_tools_does_not_count(folder: Folder, name: str) -> None:
    folder.write("main.py")
    before = folder.digest()
    folder.write(name)
    assert folder.digest() == before


@pytest.mark.parametrize(
    "name", ["coverage/model.py", "target/a.py", "dist/app.js", "obj/x", ".env", "build/x"]
)
def test_a_folder_with_the_name_of_output_counts_if_it_may_be_source(
    folder: Folder, name: str
) -> None:
    folder.write("main.py")
    before = folder.digest()
    folder.write(name)
    assert folder.digest() != before


def test_output_is_recognized_by_its_tool(folder: Folder) -> None:
    folder.write("rust/Cargo.toml")
    folder.write("web/coverage/lcov.info")
    before = folder.digest()
    folder.write("rust/target/debug/app")
    folder.write("web/coverage/x.html")
    assert folder.digest() == before


def test_stamps_show_that_a_file_was_written_with_the_same_content(folder: Folder) -> None:
    folder.write("main.py")
    folder.write("dist/app.js")
    before = folder.tree()
    folder.write("dist/app.js")
    assert folder.tree() == before, "a build may write its output again"
    folder.write("main.py")
    after = folder.tree()
    assert (after.digest, after.stamps != before.stamps) == (before.digest, True)


def test_links_count_with_their_text_and_what_they_point_to(folder: Folder, tmp_path: Path) -> None:
    target = tmp_path / "outside"
    target.mkdir()
    (target / "a").write_text("1")
    link = folder.root / "link"
    link.symlink_to(target)
    first = folder.digest()
    (target / "a").write_text("2")
    second = folder.digest()
    link.unlink()
    link.symlink_to("../outside")
    assert len({first, second, folder.digest()}) == 3


def test_loops_of_links_end(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/back").symlink_to(folder.root)
    for name, to in (("self", "self"), ("here", "."), ("up", ".."), ("other", "../other")):
        (folder.root / name).symlink_to(to)
    assert folder.digest()


def test_a_large_folder_outside_the_project_cannot_be_read(
    folder: Folder, fingerprint: ModuleType
) -> None:
    for number in range(4):
        folder.write(str(number))
    with pytest.raises(fingerprint.UnreadableError, match="has more than 3 files"):
        folder.tree(most=3)


def test_another_worktree_in_the_project_does_not_count(folder: Folder) -> None:
    folder.write("module/.git", "gitdir: ../.git/modules/module\n")
    before = folder.digest()
    folder.write("worktrees/x/.git", "gitdir: /repository/.git/worktrees/x\n")
    folder.write("worktrees/x/main.py")
    after = folder.tree()
    assert list(after.files) == list(folder.tree().files)
    assert not any("main.py" in name for name in after.files)
    folder.write("module/main.py")  # A submodule counts.
    assert folder.digest() not in (before, after.digest)


def test_installed_packages_count(folder: Folder) -> None:
    site = "env/lib/python3/site-packages"
    folder.write("env/pyvenv.cfg", "version = 3.13")
    folder.write(f"{site}/a/__init__.py")
    digests = [folder.digest()]
    for name, text in (
        (f"{site}/a/__init__.py", "changed by hand"),
        (f"{site}/b-1.dist-info/METADATA", ""),
        (f"{site}/b-1.dist-info/direct_url.json", "{}"),
        (f"{site}/b.pth", "/somewhere"),
        ("env/pyvenv.cfg", "version = 3.14"),
    ):
        folder.write(name, text)
        digests.append(folder.digest())
    assert len(set(digests)) == len(digests)
    folder.write(f"{site}/a/__pycache__/x.pyc")
    folder.write(f"{site}/b-1.dist-info/RECORD", "it has the path of the installation")
    assert folder.digest() == digests[-1]


def test_node_modules_count_if_they_changed_after_the_installation(folder: Folder) -> None:
    folder.write("node_modules/a/index.js")
    time.sleep(0.02)
    folder.write("node_modules/.package-lock.json", "{}")
    digests = [folder.digest()]
    folder.write("node_modules/a/README.md", "more")
    folder.write("node_modules/.vite/deps.js")
    assert folder.digest() == digests[0]
    for name in ("a/index.js", "b/index.js", ".package-lock.json"):
        time.sleep(0.02)
        folder.write(f"node_modules/{name}", "changed")
        digests.append(folder.digest())
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('open("../worker/data.json")', {"../worker"}),
        ("cp ../../services/worker/x .", {"services/worker"}),
        ('ROOT = Path(__file__).parents[3]\nROOT / "worker"', {"worker"}),
        ('jobs.send("worker")', set()),
        ("../workers/ ../worker-2/", set()),
        ('"/docs"', {"docs"}),
    ],
)
def test_the_names_of_other_services_in_a_file(folder: Folder, text: str, words: set[str]) -> None:
    folder.write("main.py", text)
    assert set(folder.tree().mentions.get("main.py", ())) == words


def test_the_images_of_a_dockerfile(stack_inputs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG PYTHON=3.13\nARG BASE\n"
        "FROM --platform=$BUILDPLATFORM golang:1 AS build\n"
        "from python:${PYTHON}-slim as runtime\n"
        "FROM ${MISSING:-alpine:3}\n"
        "FROM $BASE\n"
        "FROM scratch\n"
        "COPY --chown=1 --from=build /a /b\n"
        "COPY --from=0 /a /b\n"
        "COPY --from=ghcr.io/astral-sh/uv:0.13 /uv /uv\n"
        "RUN --mount=type=bind,from=busybox:1,target=/x \\\n  echo from=here\n"
        "# COPY --from=comment /a /b\n"
    )
    build = {"context": str(tmp_path), "args": {"BASE": "debian:12"}}
    assert stack_inputs.base_images(build) >= {
        *("golang:1", "python:3.13-slim", "alpine:3", "debian:12"),
        *("ghcr.io/astral-sh/uv:0.13", "busybox:1"),
    }
    assert not stack_inputs.base_images(build) & {"build", "0", "scratch", "comment"}
    with pytest.raises(stack_inputs.UnreadableError, match="depends on a variable"):
        stack_inputs.base_images({"context": str(tmp_path)})
    with pytest.raises(stack_inputs.UnreadableError, match="cannot read"):
        stack_inputs.base_images({"context": str(tmp_path), "dockerfile": "none"})


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.14-slim", "docker.io/library/python:3.14-slim"),
        ("grafana/loki:3", "docker.io/grafana/loki:3"),
        ("ghcr.io/acme/base", "ghcr.io/acme/base:latest"),
        ("localhost/base:1", "localhost/base:1"),
        ("registry:5000/base", "registry:5000/base:latest"),
    ],
)
def test_the_full_name_of_an_image(stack_inputs: ModuleType, image: str, full: str) -> None:
    assert stack_inputs.full_name(image) == full


def test_the_paths_of_a_stack(stack_inputs: ModuleType) -> None:
    config = {
        "services": {
            "a": {
                "build": {
                    "context": "/p/a",
                    "dockerfile": "Dockerfile",
                    "additional_contexts": {"x": "/p/x", "y": "docker-image://alpine"},
                },
                "volumes": [{"type": "bind", "source": "/etc/a"}, {"type": "volume"}],
            },
            "b": {"build": None},
        },
        "configs": {"c": {"file": "/p/c"}, "d": {"content": "text"}},
        "secrets": {"e": {"file": "/p/e"}},
    }
    names = {str(path) for path in stack_inputs.host_paths(config)}
    assert names == {"/p/a", "/p/a/Dockerfile", "/p/x", "/etc/a", "/p/c", "/p/e"}
    remote = {"services": {"a": {"build": {"context": "https://example.com/a.git"}}}}
    with pytest.raises(stack_inputs.UnreadableError, match="not on this machine"):
        stack_inputs.host_paths(remote)


def test_keys_do_not_confuse_names_and_values(fingerprint: ModuleType) -> None:
    keys = [
        fingerprint.key_of(parts)
        for parts in ({"a": "b"}, {"ab": ""}, {"a": "", "b": ""}, {"a": "b", "": ""}, {})
    ]
    assert len(set(keys)) == 5
    assert fingerprint.key_of({"a": "1", "b": "2"}) == fingerprint.key_of({"b": "2", "a": "1"})


def test_a_version_manager_is_asked_once_for_all_stages_of_a_service(
    fingerprint: ModuleType, tmp_path: Path
) -> None:
    root, asked = tmp_path / "project", tmp_path / "asked"
    for name in ("api", "worker"):
        (root / f"services/{name}").mkdir(parents=True)
    (tmp_path / "shims").mkdir()
    shim = tmp_path / "shims/pytest"
    shim.write_text(f"#!/bin/sh\necho x >> {asked}\ncat .tool-versions 2>/dev/null; true\n")
    shim.chmod(0o755)
    env = {"PATH": f"{tmp_path}/shims:/usr/bin:/bin"}

    def times(*trees: str) -> tuple[str, int]:
        memo = fingerprint.Memo(tmp_path / "memo.json", fingerprint.words_of(["api"], []))
        inputs = fingerprint.Inputs(memo, None, root, env)
        inputs.tree("services/api")  # The unit tests need only this tree, other stages need more.
        found = inputs.tool("pytest", "services/api")
        for tree in trees:
            inputs.tree(tree)
        assert inputs.tool("pytest", "services/api") == found
        memo.save()
        return found, len(asked.read_text().splitlines())

    first = times("services/worker")
    assert first[1] == 1
    assert times("services/worker") == first
    (root / "services/worker/.tool-versions").write_text("pytest 8\n")
    assert times("services/worker") == first, "the manager does not read this file"
    (root / "services/api/.tool-versions").write_text("pytest 9\n")
    changed = times()
    assert (changed[0] != first[0], changed[1]) == (True, 2)
