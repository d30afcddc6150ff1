"""The inputs of a target: files, packages, images and places outside the project."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
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
    "name",
    ["coverage/model.py", "coverage/lcov.info", "target/a.py", "dist/app.js", "obj/x", ".env"]
    + ["build/x"],
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
    folder.write("web/package.json")
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
    folder.write(".git/HEAD")
    folder.write("module/.git", "gitdir: ../.git/modules/module\n")
    before = folder.digest()
    folder.write("worktrees/x/.git", f"gitdir: {folder.root}/.git/worktrees/x\n")
    folder.write("worktrees/x/main.py")
    after = folder.tree()
    assert list(after.files) == list(folder.tree().files)
    assert not any("main.py" in name for name in after.files)
    folder.write("module/main.py")  # A submodule counts.
    assert folder.digest() not in (before, after.digest)


@pytest.mark.parametrize(
    ("own", "inner"),
    [
        ("gitdir: /repository/.git/worktrees/own\n", "/repository/.git/worktrees/own/modules/lib"),
        ("gitdir: /worktrees/shop/.git/modules/shop\n", "/worktrees/shop/.git/modules/lib"),
        ("gitdir: /repository/.git/worktrees/own\n", "/other/.git/worktrees/lib"),
    ],
    ids=["a submodule in a worktree", "the name of a folder", "a worktree of another repository"],
)
def test_a_folder_that_looks_like_another_worktree_counts(
    folder: Folder, own: str, inner: str
) -> None:
    folder.write(".git", own)
    folder.write("lib/.git", f"gitdir: {inner}\n")
    before = folder.digest()
    folder.write("lib/main.py")
    assert folder.digest() != before


def test_the_owner_of_a_file_counts(folder: Folder) -> None:
    if os.getuid():
        pytest.skip("only root may give a file to another user")
    file = folder.write("main.py")
    before = folder.digest()
    os.chown(file, 12345, -1)
    assert folder.digest() != before


def test_a_link_to_a_folder_of_the_tree_counts_with_the_links_on_its_way(
    folder: Folder, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        folder.write(f"{name}/data")
    way = tmp_path / "way"
    way.symlink_to(folder.root / "one")
    (folder.root / "link").symlink_to(way)
    before = folder.digest()
    way.unlink()
    way.symlink_to(folder.root / "two")
    assert folder.digest() != before


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


SITE = ".venv/lib/python3/site-packages"


def test_programs_and_entry_points_of_packages_count(folder: Folder) -> None:
    folder.write(".venv/pyvenv.cfg")
    digests = [folder.digest()]
    for name, text in (
        (".venv/bin/tool", "#!/bin/sh\n"),
        (".venv/bin/tool", "#!/bin/sh\nfalse\n"),
        (".venv/bin/binary", "x" * 30_000),
        (f"{SITE}/a-1.dist-info/entry_points.txt", "[pytest11]\na = a\n"),
    ):
        folder.write(name, text)
        digests.append(folder.digest())
    assert len(set(digests)) == len(digests)
    other = Folder(folder.module, folder.root.parent / "other")
    for one in (folder, other):
        one.write(".venv/pyvenv.cfg", "same")
        one.write(".venv/bin/tool", f"#!{one.root}/.venv/bin/python\n")
    for name in (".venv/bin/binary", f"{SITE}/a-1.dist-info/entry_points.txt"):
        (folder.root / name).unlink()
    (other.root / SITE / "a-1.dist-info").mkdir(parents=True)
    assert folder.digest() == other.digest(), "checkouts share results"


@pytest.mark.parametrize("how", ["link", "relative .pth", "editable"])
def test_a_package_that_is_somewhere_else_counts(folder: Folder, tmp_path: Path, how: str) -> None:
    source = tmp_path / "my package"
    (source / "package").mkdir(parents=True)
    (source / "package/main.py").write_text("one")
    folder.write(".venv/pyvenv.cfg")
    folder.write(f"{SITE}/_a.pth", "import a\n\n")
    if how == "link":
        (folder.root / SITE / "package").symlink_to(source / "package")
    elif how == "relative .pth":
        folder.write(f"{SITE}/p.pth", os.path.relpath(source, folder.root / SITE))
    else:
        about = {"url": source.as_uri(), "dir_info": {"editable": True}}
        folder.write(f"{SITE}/p-1.dist-info/direct_url.json", json.dumps(about))
    before = folder.digest()
    (source / "package/main.py").write_text("two")
    assert folder.digest() != before


def test_a_project_that_is_installed_in_its_own_environment_can_be_read(folder: Folder) -> None:
    folder.write(".venv/pyvenv.cfg")
    folder.write(f"{SITE}/own.pth", f"{folder.root}\n")
    about = {"url": folder.root.as_uri(), "dir_info": {"editable": True}}
    folder.write(f"{SITE}/own-1.dist-info/direct_url.json", json.dumps(about))
    before = folder.digest()
    folder.write("main.py")
    assert folder.digest() != before


def test_a_change_of_node_modules_by_hand_counts(folder: Folder, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in ("a/index.js", "a/lib/x.js", "@scope/b/index.js", ".pnpm/c@1/c/index.js"):
        folder.write(f"node_modules/{name}")
    folder.write("node_modules/.prisma/client/index.js")
    (folder.root / "node_modules/@scope/shared").symlink_to(shared)
    time.sleep(0.02)
    folder.write("node_modules/.package-lock.json", "{}")
    digests = [folder.digest()]
    modules = folder.root / "node_modules"
    (modules / "a/lib/x.js").unlink()
    digests.append(folder.digest())
    shutil.rmtree(modules / "@scope/b")
    digests.append(folder.digest())
    (shared / "index.js").write_text("1")
    digests.append(folder.digest())
    time.sleep(0.02)
    for name in (".pnpm/c@1/c/index.js", ".prisma/client/index.js"):
        folder.write(f"node_modules/{name}", "y")
        digests.append(folder.digest())
    assert len(set(digests)) == len(digests)


def test_a_copy_of_changed_node_modules_counts(folder: Folder, tmp_path: Path) -> None:
    package = folder.write("node_modules/a/index.js", "1")
    marker = folder.write("node_modules/.package-lock.json", "{}")
    os.utime(package, (100, 100))
    os.utime(marker, (200, 200))
    before = folder.digest()
    package.write_text("2")  # By hand, and then all files are copied with their times.
    os.utime(package, (300, 300))
    time.sleep(0.02)
    os.utime(marker, (200, 200))
    assert folder.digest() != before


def test_node_modules_from_the_future_count_by_content(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder.write("node_modules/a/index.js", "1")
    time.sleep(0.02)
    marker = folder.write("node_modules/.package-lock.json", "{}")
    module = folder.module.time
    monkeypatch.setattr(folder.module, "time", SimpleNamespace(time_ns=lambda: 0))
    before = folder.digest()
    package.write_text("2")
    os.utime(package, ns=(0, 0))
    time.sleep(0.02)
    marker.touch()  # As if the clock had been set back since it was written.
    assert folder.digest() != before
    monkeypatch.setattr(folder.module, "time", module)


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
        ('Path(__file__).parents[3] / "README.md"', {"README.md"}),
        ('readme = "README.md"', set()),
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
    (tmp_path / "Dockerfile").write_text("arg V=1\nFROM a:$V\nARG V=2\n")
    assert stack_inputs.base_images({"context": str(tmp_path)}) == {"a:1"}
    (tmp_path / "Dockerfile").write_text("FROM $BASE\n")
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
        "volumes": {
            "f": {"driver_opts": {"type": "none", "o": "bind", "device": "/srv/f"}},
            "g": {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}},
            "h": None,
        },
    }
    names = {str(path) for path in stack_inputs.host_paths(config)}
    assert names == {"/p/a", "/p/a/Dockerfile", "/p/x", "/etc/a", "/p/c", "/p/e", "/srv/f"}
    nfs = {"volumes": {"n": {"driver_opts": {"type": "nfs", "o": "addr=a", "device": ":/x"}}}}
    with pytest.raises(stack_inputs.UnreadableError, match="a volume of its stack uses :/x"):
        stack_inputs.host_paths(nfs)
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


class Machine:
    """A project with its environment, and the parts that come from outside the project."""

    def __init__(self, module: ModuleType, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.module, self.home, self.root = module, home, home / "work/shop"
        self.env = {"PATH": f"{home}/bin:/usr/bin:/bin"}
        (self.root / "services/api").mkdir(parents=True)
        (home / "bin").mkdir()
        patch.setenv("HOME", str(home))

    def inputs(self) -> Any:
        memo = self.module.Memo(self.home / "memo.json", self.module.words_of(["api"], []))
        return self.module.Inputs(memo, None, self.root, self.env)

    def write(self, name: str, text: str = "x") -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def tool(self, name: str) -> str:
        inputs = self.inputs()
        found = str(inputs.tool(name, "services/api"))
        inputs.memo.save()
        return found


@pytest.fixture
def machine(fingerprint: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(fingerprint, tmp_path, monkeypatch)


def test_a_tool_that_was_replaced_with_the_same_size_and_time_counts(machine: Machine) -> None:
    program = machine.write("bin/tool", "one")
    os.utime(program, (1, 1))
    before = machine.tool("tool")
    time.sleep(0.02)
    program.write_text("two")
    os.utime(program, (1, 1))
    assert machine.tool("tool") != before


@pytest.mark.parametrize(
    "changed",
    [
        ".local/share/mise/installs/python/3.14.2/bin/python",
        ".rustup/update-hashes/stable",
        ".config/mise/conf.d/own.toml",
        "work/.tool-versions",
        "data/installs/python/3.14.2/bin/python",
    ],
)
def test_a_version_manager_is_asked_again_if_its_choice_may_have_changed(
    machine: Machine, changed: str
) -> None:
    machine.write(".local/share/mise/installs/python/3.14.1/bin/python")
    machine.write("data/installs/python/3.14.1/bin/python")
    machine.write("answer", "3.14.1")
    machine.write("data/shims/python", f"#!/bin/sh\ncat {machine.home}/answer\n")
    machine.env["PATH"] = f"{machine.home}/data/shims:/usr/bin:/bin"
    before = machine.tool("python")
    machine.write("answer", "3.14.2")
    assert machine.tool("python") == before, "its answer is remembered"
    time.sleep(0.02)
    machine.write(changed)
    assert machine.tool("python") != before


def test_the_programs_of_rustup_are_hard_links_to_it(machine: Machine) -> None:
    machine.write("answer", "1.90")
    machine.write("bin/rustup", f"#!/bin/sh\ncat {machine.home}/answer\n")
    (machine.home / "bin/cargo").hardlink_to(machine.home / "bin/rustup")
    before = machine.tool("cargo")
    time.sleep(0.02)
    machine.write("answer", "1.91")
    machine.write(".rustup/update-hashes/stable")
    assert machine.tool("cargo") != before


@pytest.mark.parametrize(
    "name",
    [
        "lib/python3.14/site-packages/a-2.dist-info/METADATA",
        "env/lib/python3.14/site-packages/a-2.dist-info/METADATA",
        ".local/lib/python3.14/site-packages/own.pth",
        ".pyenv/versions/3.14/lib/python3.14/site-packages/a-2.dist-info/METADATA",
        "bin/ffmpeg",
    ],
)
def test_what_is_installed_outside_the_project_counts(machine: Machine, name: str) -> None:
    machine.env["VIRTUAL_ENV"] = f"{machine.home}/env"
    machine.write("lib/python3.14/site-packages/a/main.py")
    before = machine.inputs().installed()
    machine.write("lib/python3.14/site-packages/__pycache__/a.pyc")
    assert machine.inputs().installed() == before
    time.sleep(0.02)
    machine.write(name)
    assert machine.inputs().installed() != before


def test_a_package_of_the_system_counts(
    machine: Machine, fingerprint: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = machine.write("status")
    monkeypatch.setattr(fingerprint, "SYSTEM", (str(packages),))
    before = machine.inputs().installed()
    machine.write("status", "one more")
    assert machine.inputs().installed() != before


def test_environments_in_the_project_do_not_count_twice(machine: Machine) -> None:
    site = "work/shop/.venv/lib/python3.14/site-packages"
    machine.env |= {"VIRTUAL_ENV": f"{machine.root}/.venv", "UV_PROJECT_ENVIRONMENT": ".venv"}
    machine.env["PATH"] += f":{machine.root}/.venv/bin"
    before = machine.inputs().installed()
    machine.write(f"{site}/a-1.dist-info/METADATA")
    machine.write("work/shop/.venv/bin/a")
    assert machine.inputs().installed() == before, "checkouts share results"


def test_programs_that_a_recipe_names_by_their_path(machine: Machine) -> None:
    home = machine.home
    program = machine.write("opt/go/bin/go")
    recipe = f"cd {machine.root}; A={program} ~/tool | $HOME/more ../bin none/tool"
    found = {str(program), f"{home}/tool", f"{home}/more"}
    assert machine.inputs().programs(recipe) == found
    before = machine.tool(str(program))
    program.write_text("another version")
    assert machine.tool(str(program)) != before
    assert not machine.tool(f"{home}/none")


def test_code_that_is_imported_from_outside_the_project(machine: Machine) -> None:
    libs = machine.home / "libs"
    machine.env["PYTHONPATH"] = f"{libs}:src::{machine.root}/src"
    assert [*machine.inputs().imported()] == [libs]


class Compose:
    """A substitute of the engine, whose answer for a compose file can change."""

    def __init__(self) -> None:
        self.answer = {"services": {"a": {"image": "a"}}}

    def config(self, _: str) -> dict[str, Any]:
        return self.answer


@pytest.mark.parametrize(
    ("text", "is_remembered"),
    [
        ("services: {a: {image: a, environment: {A: '${TEST_INSTANCE_ID}'}}}", True),
        ("services: {a: {image: a, env_file: /etc/shop.env}}", False),
        ("services: {a: {extends: {file: /etc/shop.yml, service: a}}}", False),
        ("include: [/etc/shop.yml]", False),
        ("services: {a: {image: a, environment: {A: '${VERBOSE:-0}'}}}", False),
    ],
)
def test_compose_is_asked_again_if_it_may_read_other_files(
    machine: Machine, runner: Callable[[str], ModuleType], text: str, is_remembered: bool
) -> None:
    machine.write("work/shop/services/api/deploy/test/docker-compose.yml", text)
    target = runner("targets").service("api")
    inputs = machine.inputs()
    inputs.engine = Compose()
    assert inputs._config(target) == inputs.engine.answer
    before, inputs.engine.answer = inputs.engine.answer, {"services": {}}
    assert inputs._config(target) == (before if is_remembered else {"services": {}})


@pytest.mark.parametrize("policy", ["always", "daily", "every_12h"])
def test_a_stack_that_pulls_its_images_again_is_not_cached(
    machine: Machine, runner: Callable[[str], ModuleType], policy: str
) -> None:
    config = {"services": {"a": {"image": "a", "pull_policy": policy}}}
    inputs = machine.inputs()
    inputs._images["a"] = "id"
    with pytest.raises(machine.module.UnreadableError, match="is pulled again"):
        inputs.stack(runner("targets").service("api"), config)
