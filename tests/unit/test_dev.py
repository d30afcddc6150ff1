"""scripts/dev.py: which environment a checkout uses, what it writes, and how failures are explained.

Docker is replaced here. tests/e2e/test_dev_environments.py uses a real engine.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.programs

Render = Callable[[Mapping[str, Any]], Path]
Load = Callable[[str], ModuleType]


@pytest.fixture
def load_dev(runner: Load) -> Load:
    """Return the function that imports a module of scripts/, of a project called shop."""
    runner("compose")  # From now on, the modules of scripts/ can be imported.
    return import_module


@pytest.fixture
def checkout(load_dev: Load) -> ModuleType:
    return load_dev("dev_environments.checkout")


@pytest.fixture
def ports(load_dev: Load) -> ModuleType:
    return load_dev("dev_environments.ports")


@pytest.fixture
def environments(load_dev: Load) -> ModuleType:
    return load_dev("dev_environments.environments")


@pytest.fixture
def startup(load_dev: Load) -> ModuleType:
    return load_dev("dev_environments.startup")


def git(folder: Path, *args: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True)


def project(root: Path) -> Path:
    """Make a folder with an environment, in which git has one commit."""
    (root / "deploy/dev").mkdir(parents=True)
    (root / "deploy/dev/.env.example").write_text("# The port of api.\n# API_PORT=8000\n\nX=1\n")
    (root / ".gitignore").write_text(".env\n")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Start")
    return root


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return project(tmp_path / "shop")


def worktree(main: Path, name: str) -> Path:
    path = main.parent / name
    git(main, "worktree", "add", "--quiet", "-b", name, str(path))
    return path


# CHECKOUTS --------------------------------------------------------------------
def test_the_main_checkout_and_a_linked_worktree(checkout: ModuleType, main: Path) -> None:
    alone = checkout.repository(main)
    assert (alone.linked, alone.main, alone.others) == (False, main, ())
    linked = worktree(main, "feature")
    found = checkout.repository(linked)
    assert (found.linked, found.main, found.others) == (True, main, (main,))
    assert checkout.repository(main).others == (linked,)


def test_worktrees_of_a_bare_repository(checkout: ModuleType, main: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(main), "bare.git")
    one = tmp_path / "one"
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(one))
    found = checkout.repository(one)
    assert (found.linked, found.main, found.checkouts) == (True, None, (one,))


def test_a_project_in_a_folder_of_a_repository(checkout: ModuleType, tmp_path: Path) -> None:
    root = project(tmp_path / "mono")
    (root / "apps/shop").mkdir(parents=True)
    (root / "apps/shop/file").touch()
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Shop")
    linked = worktree(root, "feature")
    found = checkout.repository(linked / "apps/shop")
    assert found.main == root / "apps/shop"
    assert found.checkouts == (root / "apps/shop", linked / "apps/shop")


def test_a_folder_without_git(checkout: ModuleType, tmp_path: Path) -> None:
    assert checkout.repository(tmp_path) == checkout.Repository(tmp_path)
    assert checkout.branch(tmp_path) == ""


def test_a_worktree_whose_repository_is_missing(checkout: ModuleType, main: Path) -> None:
    """Only the worktree itself is mounted in a dev container."""
    linked = worktree(main, "feature")
    main.rename(main.with_name("hidden"))
    found = checkout.repository(linked / "deploy")
    assert (found.linked, found.main) == (True, main / "deploy")


def test_a_repository_that_the_environment_names(
    checkout: ModuleType, main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert checkout.repository(main).main == main


def test_the_branch(checkout: ModuleType, main: Path) -> None:
    assert checkout.branch(main) == "main"
    git(main, "checkout", "--quiet", "--detach")
    assert len(checkout.branch(main)) >= 7


@pytest.mark.parametrize(
    ("folder", "begins"),
    [
        ("shop-Feature_Login", "shop-dev-feature-login-"),
        ("x" * 60, f"shop-dev-{'x' * 20}-"),
        ("日本", "shop-dev-"),
    ],
)
def test_the_name_of_a_checkout(checkout: ModuleType, folder: str, begins: str) -> None:
    name, other = (checkout.own_name(Path(top) / folder) for top in ("/a", "/b"))
    assert name.startswith(begins)
    assert name != other
    assert len(name) <= len("shop-dev-") + 27
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_folder_without_permission_exists(
    checkout: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkout.exists(tmp_path)
    assert not checkout.exists(tmp_path / "gone")

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refuse)
    assert checkout.exists(tmp_path / "gone")


# THE .env ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nAPI_PORT=8000\nB=2\n", "A=1\nAPI_PORT=9\nB=2\n"),
        ("# Port.\n# API_PORT=8000\nB=2", "# Port.\nAPI_PORT=9\nB=2\n"),
        ("#API_PORT=1\nexport API_PORT = '2' # x\n", "#API_PORT=1\nAPI_PORT=9\n"),
        ("API_PORT=1\nAPI_PORT=2\n", "API_PORT=1\nAPI_PORT=9\n"),
        ("MY_API_PORT=1\n", "MY_API_PORT=1\nAPI_PORT=9\n"),
        ("", "API_PORT=9\n"),
    ],
)
def test_a_variable_in_the_env(checkout: ModuleType, main: Path, before: str, after: str) -> None:
    env = main / "deploy/dev/.env"
    env.write_text(before)
    env.chmod(0o640)
    checkout.write_env(main, {"API_PORT": "9"})
    assert env.read_text() == after
    assert env.stat().st_mode & 0o777 == 0o640
    assert checkout.read_env(main)["API_PORT"] == "9"
    assert [path.name for path in env.parent.iterdir()].count(".env") == 1


def test_a_missing_env_is_made_from_the_example(checkout: ModuleType, main: Path) -> None:
    checkout.write_env(main, {"API_PORT": "9", "COMPOSE_PROJECT_NAME": "shop-dev-x"})
    assert (main / "deploy/dev/.env").read_text() == (
        f"# The port of api.\nAPI_PORT=9\n\nX=1\n\n{checkout.COMMENT}\nCOMPOSE_PROJECT_NAME=shop-dev-x\n"
    )
    assert checkout.configured_name(main) == "shop-dev-x"


def test_a_linked_env_becomes_a_file(checkout: ModuleType, main: Path) -> None:
    linked = worktree(main, "feature")
    (main / "deploy/dev/.env").write_text("X=2\n")
    (linked / "deploy/dev/.env").symlink_to(main / "deploy/dev/.env")
    checkout.write_env(linked, {"API_PORT": "9"})
    assert (main / "deploy/dev/.env").read_text() == "X=2\n"
    assert (linked / "deploy/dev/.env").read_text() == "X=2\nAPI_PORT=9\n"


@pytest.mark.parametrize(
    "line",
    ["NAME=a b", "export NAME=a b", " NAME : 'a b'", 'NAME="a b" # c', "NAME=a b # c"],
)
def test_forms_of_a_variable(checkout: ModuleType, main: Path, line: str) -> None:
    (main / "deploy/dev/.env").write_text(f"# NAME=no\n{line}\n")
    assert checkout.read_env(main) == {"NAME": "a b"}


# PORTS ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("127.0.0.1:${API_PORT:-8000}:8000", ("API_PORT", 8000, 80)),
        ("${API_PORT-8000}:80/tcp", ("API_PORT", 8000, 80)),
        ("${API_PORT}:80", ("API_PORT", 0, 80)),
        ("$API_PORT:80", ("API_PORT", 0, 80)),
        ("${API_PORT:?set it}:80", ("API_PORT", 0, 80)),
        ("${HOST:-127.0.0.1}:${API_PORT:-8000}:80", ("API_PORT", 8000, 80)),
        ("[::1]:8025:80", ("", 8025, 80)),
        ("8025:80", ("", 8025, 80)),
        ({"target": 80, "published": "${API_PORT:-8000}"}, ("API_PORT", 8000, 80)),
        ({"target": 80, "published": "8025"}, ("", 8025, 80)),
        ({"target": 80}, ("", 0, 80)),
    ],
    ids=str,
)
def test_published_ports(ports: ModuleType, port: Any, expected: tuple[str, int, int]) -> None:
    [found] = ports.published({"services": {"api": {"ports": [port]}, "worker": {}}})
    variable, default, target = expected
    assert (found.service, found.variable, found.default) == ("api", variable, default)
    assert found.target in (target, 8000)


@pytest.mark.parametrize("port", ["127.0.0.1::80", "127.0.0.1:80", "80", "3000-3005:3000-3005"])
def test_ports_without_a_number_of_their_own(ports: ModuleType, port: str) -> None:
    assert list(ports.published({"services": {"api": {"ports": [port]}}})) == []


def test_the_choice_avoids_ports_that_are_taken_or_listen(ports: ModuleType) -> None:
    first = ports.choose(2, set(), 7)
    assert all(ports.FIRST <= port <= ports.LAST for port in first)
    assert ports.choose(2, set(), 7) == first
    with socket.create_server(("127.0.0.1", first[0])):
        assert first[0] not in ports.choose(2, set(), 7)
    assert not set(first) & set(ports.choose(2, set(first), 7))
    with pytest.raises(OSError, match="all in use"):
        ports.choose(1, set(range(ports.FIRST, ports.LAST + 1)), 7)


def test_ports_of_containers(ports: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "127.0.0.1:8000->80/tcp, [::]:9000-9002->9000-9002/tcp\n5432/tcp\n"
    monkeypatch.setattr(ports.docker, "docker", lambda *_: text)
    assert ports.in_use() == {8000, 9000, 9001, 9002}


# WHICH ENVIRONMENT A CHECKOUT USES ------------------------------------------------
class Machine:
    """A machine with one project, whose Docker is replaced."""

    def __init__(self, load: Load, patch: pytest.MonkeyPatch) -> None:
        self.dev, self.patch = load("dev"), patch
        self.environments = load("dev_environments.environments")
        self.checkout = load("dev_environments.checkout")
        self.ports = load("dev_environments.ports")
        self.marks: dict[str, Path] = {}
        port = self.ports.Port("api", 8000, "${API_PORT:-8000}")
        startup = self.dev.startup
        patch.setattr(startup, "port_variables", lambda _root: [port])
        patch.setattr(startup, "model", lambda root, *_: {"name": self.name(root), "services": {}})
        patch.setattr(self.ports, "in_use", set)
        patch.setattr(self.dev, "environments", self.found)
        patch.setattr(self.dev, "mark", self.marks.__setitem__)
        patch.setattr(self.environments, "this_machine", lambda: "")

    def name(self, root: Path) -> str:
        return str(self.checkout.configured_name(root) or "shop-dev")

    def found(self) -> list[Any]:
        return [
            self.environments.Environment(name, path, marked=True)
            for name, path in self.marks.items()
        ]

    def settle(self, root: Path, *excluded: int) -> tuple[str, bool]:
        """Choose for a checkout, as `make dev` does there."""
        self.patch.setattr(self.dev, "ROOT", root)
        self.patch.setattr(self.environments, "ROOT", root)
        repo = self.checkout.repository(root)
        answer: tuple[str, bool] = self.dev.settle(repo, set(excluded))
        return answer

    def port(self, root: Path) -> int:
        return int(self.checkout.read_env(root).get("API_PORT", "8000"))


@pytest.fixture
def machine(load_dev: Load, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(load_dev, monkeypatch)


def test_the_main_checkout_keeps_its_name_and_ports(machine: Machine, main: Path) -> None:
    assert machine.settle(main) == ("shop-dev", False)
    assert not (main / "deploy/dev/.env").exists()
    assert machine.marks == {"shop-dev": main}
    worktree(main, "feature")
    assert machine.settle(main) == ("shop-dev", False)


def test_each_worktree_has_its_own_name_and_ports(machine: Machine, main: Path) -> None:
    machine.settle(main)
    linked = [worktree(main, name) for name in ("one", "two", "three")]
    chosen = [machine.settle(path) for path in linked]
    assert all(is_new for _, is_new in chosen)
    assert len({name for name, _ in chosen} | {"shop-dev"}) == 4
    assert len({machine.port(path) for path in (main, *linked)}) == 4
    files = [(path / "deploy/dev/.env").read_text() for path in linked]
    # The choice stays the same.
    assert [machine.settle(path) for path in linked] == [(name, False) for name, _ in chosen]
    assert [(path / "deploy/dev/.env").read_text() for path in linked] == files
    git(linked[0], "checkout", "--quiet", "-b", "another-branch")
    assert machine.settle(linked[0]) == (chosen[0][0], False)


def test_the_ports_of_stopped_environments_stay_reserved(
    machine: Machine, main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would begin their search at the same port."""
    choose = machine.ports.choose
    monkeypatch.setattr(
        machine.ports, "choose", lambda count, taken, _seed: choose(count, taken, 1)
    )
    one, two = worktree(main, "one"), worktree(main, "two")
    machine.settle(one)
    machine.settle(two)
    assert machine.port(one) != machine.port(two)


def test_a_copied_env(machine: Machine, main: Path) -> None:
    (main / "deploy/dev/.env").write_text("API_PORT=18100\n")
    machine.settle(main)
    one, two = worktree(main, "one"), worktree(main, "two")
    (one / "deploy/dev/.env").write_text("API_PORT=18100\nX=3\n")
    name, _ = machine.settle(one)
    assert machine.port(one) != 18100
    assert "X=3\n" in (one / "deploy/dev/.env").read_text()
    (two / "deploy/dev/.env").write_bytes((one / "deploy/dev/.env").read_bytes())
    other, is_new = machine.settle(two)
    assert is_new
    assert other != name
    assert machine.port(two) not in (18100, machine.port(one))
    assert machine.settle(one) == (name, False)
    assert machine.settle(main) == ("shop-dev", False)


def test_a_port_that_the_user_has_chosen_for_a_worktree(machine: Machine, main: Path) -> None:
    linked = worktree(main, "feature")
    (linked / "deploy/dev/.env").write_text("API_PORT=18200\n")
    machine.settle(linked)
    assert machine.port(linked) == 18200


def test_a_default_port_that_is_written_out(machine: Machine, main: Path) -> None:
    linked = worktree(main, "feature")
    (linked / "deploy/dev/.env").write_text("API_PORT=8000\n")
    machine.settle(linked)  # The main checkout may start later.
    assert machine.port(linked) != 8000


def test_a_name_of_the_user_for_a_worktree(machine: Machine, main: Path) -> None:
    one, two = worktree(main, "one"), worktree(main, "two")
    for path in (one, two):
        (path / "deploy/dev/.env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    machine.marks["mine"] = one
    assert machine.settle(one) == ("mine", False)
    assert machine.settle(two)[0].startswith("shop-dev-two-")


def test_a_port_variable_that_an_update_adds(machine: Machine, main: Path) -> None:
    linked = worktree(main, "feature")
    name, _ = machine.settle(linked)
    moved = linked.with_name("moved")
    git(main, "worktree", "move", str(linked), str(moved))
    env = moved / "deploy/dev/.env"
    env.write_text(re.sub("^API_PORT=.*\n", "", env.read_text(), flags=re.MULTILINE))
    assert machine.settle(moved) == (name, True)
    assert machine.port(moved) != 8000


def test_a_port_that_compose_reports_as_taken(machine: Machine, main: Path) -> None:
    linked = worktree(main, "feature")
    name, _ = machine.settle(linked)
    before = machine.port(linked)
    assert machine.settle(linked, before) == (name, True)
    assert machine.port(linked) != before


def test_a_second_clone(machine: Machine, main: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(main), str(clone))
    assert machine.settle(clone) == ("shop-dev", False)  # No other checkout uses the name.
    name, is_new = machine.settle(main)
    assert is_new
    assert name.startswith("shop-dev-shop-")
    assert machine.port(main) != 8000


def test_a_clone_that_was_moved_keeps_its_environment(
    machine: Machine, main: Path, tmp_path: Path
) -> None:
    machine.settle(main)
    moved = main.rename(tmp_path / "moved")
    assert machine.settle(moved) == ("shop-dev", False)
    assert machine.marks == {"shop-dev": moved}


def test_a_copy_of_a_worktree_with_its_env(machine: Machine, main: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(main), str(clone))
    machine.settle(main)
    name, _ = machine.settle(clone)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(clone), str(copy)], check=True)
    other, is_new = machine.settle(copy)
    assert is_new
    assert other != name
    assert machine.port(copy) != machine.port(clone)


def test_the_main_checkout_takes_back_what_a_worktree_has_used(
    machine: Machine, main: Path
) -> None:
    """Before worktrees had their own environments, the last `make dev` had the name."""
    linked = worktree(main, "feature")
    machine.marks["shop-dev"] = linked
    assert machine.settle(main) == ("shop-dev", False)
    assert machine.settle(linked)[0] != "shop-dev"


def test_the_first_worktree_of_a_bare_repository_has_the_default(
    machine: Machine, main: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(main), "bare.git")
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(path))
    assert machine.settle(one) == ("shop-dev", False)
    assert machine.settle(two)[1]
    assert machine.settle(one) == ("shop-dev", False)


def test_a_name_of_the_user(machine: Machine, main: Path) -> None:
    (main / "deploy/dev/.env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert machine.settle(main) == ("mine", False)
    linked = worktree(main, "feature")
    (linked / "deploy/dev/.env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert machine.settle(linked)[0].startswith("shop-dev-feature-")
    assert machine.settle(main) == ("mine", False)


def test_commands_of_a_worktree_without_an_environment(
    machine: Machine, main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They must not act on the main checkout's environment."""
    machine.settle(main)
    monkeypatch.setattr(machine.dev, "ROOT", worktree(main, "feature"))
    monkeypatch.setattr(machine.dev.os, "execvpe", lambda *_: pytest.fail("it was started"))
    with pytest.raises(
        machine.dev.StackError, match="no environment yet: start it with `make dev`"
    ):
        machine.dev.compose("down")


def test_other_ports_are_chosen_if_a_start_finds_one_taken(
    machine: Machine,
    main: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    startup, linked, tried = machine.dev.startup, worktree(main, "feature"), []
    monkeypatch.setattr(machine.dev, "ROOT", linked)
    monkeypatch.setattr(startup, "table", lambda _name: ["the table"])

    def start(root: Path, name: str, *, show: str) -> None:
        tried.append(machine.port(root))
        if len(tried) < 3:
            error = startup.PortTakenError("taken")
            error.port = tried[-1]
            raise error

    monkeypatch.setattr(startup, "start", start)
    assert machine.dev.up("", show="") == 0
    assert len(set(tried)) == 3
    assert capsys.readouterr().out.endswith("the table\n")
    # At the next start, the choice stays, and the error is shown.
    tried.clear()
    with pytest.raises(startup.PortTakenError):
        machine.dev.up("", show="")
    assert tried == [machine.port(linked)]


# LIST AND CLEAN ---------------------------------------------------------------
def container(service: str = "api", project: str = "shop-dev", **state: Any) -> dict[str, Any]:
    labels = {
        "com.docker.compose.service": service,
        "com.docker.compose.project": project,
        "com.docker.compose.project.working_dir": state.pop("folder", "/nowhere/deploy/dev"),
    }
    defaults = {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False}
    return {
        "Id": f"{project}-{service}",
        "Name": f"/{project}-{service}-1",
        "Created": "2026-11-27T10:00:00.123456789Z",
        "RestartCount": state.pop("restarts", 0),
        "Config": {
            "Labels": labels,
            "Image": state.pop("image", f"{project}-{service}"),
            "Env": [],
        },
        "NetworkSettings": {"Ports": state.pop("ports", {})},
        "State": defaults | state,
    }


@pytest.fixture
def engine(environments: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Return the function that finds the environments in an engine with these resources."""

    def found(
        *containers: dict[str, Any], marks: Mapping[str, Mapping[str, str]] = {}
    ) -> list[Any]:
        volumes = [
            {
                "CreatedAt": "2026-11-20T10:00:00Z",
                "Labels": {"com.docker.compose.project": name, "dev.project": "shop"}
                | dict(labels),
            }
            for name, labels in marks.items()
        ]
        by_id = {one["Id"]: one for one in containers}

        def inspect(wanted: Any, noun: str = "container") -> list[Any]:
            return volumes if noun == "volume" else [by_id[one] for one in wanted]

        listing = "\n".join(
            f"{name} {one['Config']['Labels']['com.docker.compose.project']}"
            for name, one in by_id.items()
        )
        monkeypatch.setattr(environments.docker, "ids", lambda *_: list(marks))
        monkeypatch.setattr(environments.docker, "inspect", inspect)
        monkeypatch.setattr(environments.docker, "docker", lambda *_: listing)
        monkeypatch.setattr(environments, "this_machine", lambda: "")
        answer: list[Any] = environments.environments()
        return answer

    return found


def test_environments_are_found(engine: Callable[..., list[Any]], main: Path) -> None:
    ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"},
                          {"HostIp": "::", "HostPort": "20001"}], "9000/tcp": None}  # fmt: skip
    name, stopped = "shop-dev-feature-abc123", "shop-dev-down-abc124"
    found = engine(
        container("database", image="postgres:18", ports=ports, folder=f"{main}/deploy/dev"),
        container(project=name, ports=ports),
        container(project="other-dev"),
        container(project="shop-dev-api-12"),  # Not six digits: another project's.
        container(project="shop-dev-dev-x-abc125"),
        marks={
            name: {"dev.checkout": str(main.parent / "gone")},
            stopped: {"dev.checkout": str(main)},
            "shop-dev-dev-x-abc125": {"dev.checkout": str(main), "dev.project": "shop-dev"},
        },
    )
    assert [one.name for one in found] == ["shop-dev", stopped, name]
    first, down, gone = (one.summary() for one in found)
    assert first["checkout"] == str(main)
    assert first["branch"] == "main"
    assert first["state"] == "running"
    assert first["created"] == "2026-11-27T10:00:00+00:00"
    assert first["addresses"] == {"database": ["127.0.0.1:20001"]}
    assert (down["state"], down["addresses"], down["checkout_exists"]) == ("down", {}, True)
    assert gone["addresses"] == {"api": ["http://127.0.0.1:20001"]}
    assert (gone["checkout_exists"], gone["branch"]) == (False, None)


def test_the_list_fits_a_terminal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(name: str, branch: str, path: str, addresses: dict[str, list[str]]) -> Any:
        return SimpleNamespace(
            name=name, branch=branch, state="running", age="2 h", checkout=Path(path),
            is_gone=not branch, addresses=addresses,
        )  # fmt: skip

    found = [
        one("shop-dev", "main", "/src/shop", {"api": ["http://127.0.0.1:8000"], "database": ["127.0.0.1:5432"]}),
        one("shop-dev-old-abc123", "", "/src/old", {}),
    ]  # fmt: skip
    monkeypatch.setattr(machine.dev, "environments", lambda: found)
    assert machine.dev.show_list(as_json=False) == 0
    assert (
        capsys.readouterr().out
        == """\
BRANCH  STATE    AGE  CHECKOUT
main    running  2 h  /src/shop
  api       http://127.0.0.1:8000
  database  127.0.0.1:5432
        running  2 h  /src/old (deleted)
"""
    )


@pytest.mark.parametrize(
    ("containers", "state"),
    [
        ([], "down"),
        ([{"Status": "exited", "Running": False}], "stopped"),
        ([{}, {"Status": "exited", "Running": False}], "running"),
        ([{}, {"Status": "exited", "Running": False, "ExitCode": 1}], "api exited with 1"),
        ([{"Health": {"Status": "unhealthy"}}], "api is unhealthy"),
    ],
)
def test_the_state(environments: ModuleType, containers: list[Any], state: str) -> None:
    found = environments.Environment("shop-dev", containers=[container(**c) for c in containers])
    assert found.state == state


def test_only_environments_without_a_checkout_are_removed(
    environments: ModuleType, checkout: ModuleType, main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "this_machine", lambda: "")
    monkeypatch.setattr(environments, "ROOT", main)
    linked = worktree(main, "feature")
    checkout.write_env(linked, {"COMPOSE_PROJECT_NAME": "moved"})
    gone = main.parent / "gone"

    def env(name: str, path: Path | None, **more: Any) -> Any:
        return environments.Environment(name, path, **{"marked": True, **more})

    found = [
        env("gone", gone),
        env("exists", linked),
        env("moved", gone),  # The checkout has moved; its .env has the name.
        env("shop-dev", gone),  # The main checkout uses this name.
        env("elsewhere", gone, machine="a container"),
        env("unmarked", gone, marked=False),
        env("unknown", None),
    ]
    removable = environments.removable(checkout.repository(main), found)
    assert [one.name for one in removable] == ["gone"]


@pytest.mark.parametrize(
    ("more", "is_owner"),
    [
        ({"marked": True}, False),
        # After an update of the template or a move of the project, no mark exists.
        ({"marked": False}, False),
        ({"marked": True, "machine": "a container"}, True),
    ],
    ids=str,
)
def test_a_checkout_that_does_not_exist_is_no_owner(
    environments: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    is_owner: bool,
) -> None:
    monkeypatch.setattr(environments, "this_machine", lambda: "")
    gone, here = (
        environments.Environment("shop-dev", path, **more) for path in (tmp_path / "x", tmp_path)
    )
    assert environments.owner("shop-dev", [gone]) == (tmp_path / "x" if is_owner else None)
    assert environments.owner("shop-dev", [here]) == tmp_path
    assert environments.owner("another", [here]) is None


@pytest.mark.parametrize(
    ("yes", "code", "said"),
    [(False, 2, "run: make dev-clean ARGS=--yes"), (True, 0, "removed gone")],
)
def test_clean_needs_a_confirmation(
    machine: Machine,
    main: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    yes: bool,
    code: int,
    said: str,
) -> None:
    removed: list[str] = []
    machine.settle(main)
    machine.marks["gone"] = main.parent / "gone"
    monkeypatch.setattr(machine.dev, "remove", lambda one: removed.append(one.name))
    assert machine.dev.clean(yes=yes) == code
    output = capsys.readouterr()
    assert f"gone of {main.parent}/gone" in output.out
    assert said in output.out + output.err
    assert removed == (["gone"] if yes else [])


# FAILURES -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "ready", "failed"),
    [
        ({}, True, False),  # Without a health check, it is ready when it runs.
        ({"Health": {"Status": "healthy"}}, True, False),
        ({"Health": {"Status": "starting"}}, False, False),
        ({"Health": {"Status": "unhealthy"}}, False, True),
        ({"Status": "exited", "Running": False}, True, False),  # A one-shot container.
        ({"Status": "exited", "Running": False, "ExitCode": 1}, False, True),
        ({"Status": "restarting", "restarts": 1}, False, False),
        ({"Status": "restarting", "restarts": 3}, False, True),
    ],
    ids=str,
)
def test_which_containers_are_ready(
    startup: ModuleType, state: dict[str, Any], ready: bool, failed: bool
) -> None:
    one = container(**state)
    assert (not startup.diagnosis.unready(one)) == ready
    assert (not ready and startup.has_failed(one)) == failed


def test_the_wait_ends_when_all_are_ready(
    startup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = container(Health={"Status": "starting"})
    answers = [[starting], [starting], [container(Health={"Status": "healthy"})]]
    monkeypatch.setattr(startup.docker, "containers", lambda *_: answers.pop(0))
    monkeypatch.setattr(startup.time, "sleep", lambda _: None)
    assert startup.wait("shop-dev") == []
    assert answers == []


MODEL = {"name": "shop-dev", "services": {"api": {"ports": [{"published": "8000", "target": 80}]}}}


@pytest.mark.parametrize(
    ("shown", "encoded"),
    [("postgres", "postgres"), ("p@s/s:#%", "p%40s%2Fs%3A%23%25"), ("$$a b", "%24a%20b")],
)
def test_the_password_in_the_address_of_a_custom_service(
    startup: ModuleType, main: Path, monkeypatch: pytest.MonkeyPatch, shown: str, encoded: str
) -> None:
    model = {"services": {"database": {"environment": {"POSTGRES_PASSWORD": shown}}}}
    monkeypatch.setattr(startup, "model", lambda root: model)
    assert startup.encoded_password(main) == {"POSTGRES_PASSWORD_ENCODED": encoded}


@pytest.fixture
def explain(startup: ModuleType, main: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return the function that explains a failed `docker compose up`."""

    def explained(
        output: str, *containers: dict[str, Any], log: str = "", port: str = "", holder: str = ""
    ) -> str:
        def docker(command: str, *_args: str, **_options: Any) -> str:
            return log if command == "logs" else holder

        found = [startup.ports.Port("api", 80, port)] if port else []
        monkeypatch.setattr(startup, "model", lambda *_: MODEL)
        monkeypatch.setattr(startup, "port_variables", lambda _root: found)
        monkeypatch.setattr(startup.docker, "containers", lambda *_: list(containers))
        monkeypatch.setattr(startup.docker, "docker", docker)
        monkeypatch.setattr(startup.diagnosis, "docker", docker)
        return str(startup.problem(main, "shop-dev", output))

    return explained


FAILED: dict[str, Any] = {"Status": "exited", "Running": False, "ExitCode": 1}
#: How Docker 26, Docker 28 and Docker Desktop report a port that is in use.
TAKEN = [
    (
        "Error response from daemon: driver failed programming external connectivity on endpoint "
        "shop-dev-api-1 (0123): Bind for 127.0.0.1:8000 failed: port is already allocated"
    ),
    (
        "Error response from daemon: failed to set up container networking: driver failed programming "
        "external connectivity on endpoint shop-dev-api-1 (0123): failed to bind host port for "
        "127.0.0.1:8000:172.18.0.2:80/tcp: address already in use"
    ),
    (
        "Error response from daemon: ports are not available: exposing port TCP 127.0.0.1:8000 -> "
        "127.0.0.1:0: listen tcp 127.0.0.1:8000: bind: address already in use"
    ),
]


@pytest.mark.parametrize("output", TAKEN)
def test_a_taken_port(explain: Callable[..., str], output: str) -> None:
    said = explain(output, port="${API_PORT:-8000}", holder="other-dev-api-1\n")
    what, hint = said.splitlines()
    assert what == "port 8000 of api is in use by container other-dev-api-1"
    assert hint.startswith("try: set another port in deploy/dev/.env, such as API_PORT=")
    said = explain(output)
    assert "in use by another program" in said
    assert '"127.0.0.1:${API_PORT:-8000}:' in said


def test_no_subnet_is_left(explain: Callable[..., str]) -> None:
    said = explain("failed to create network shop-dev_default: Error response from daemon: all "
                   "predefined address pools have been fully subnetted")  # fmt: skip
    assert said.startswith("Docker has no free subnet")
    assert "`make dev-clean`" in said


def test_a_broken_migration(explain: Callable[..., str]) -> None:
    said = explain(
        'service "api-migrate" didn\'t complete successfully: exit 1',
        container("database", Health={"Status": "healthy"}),
        container("api-migrate", **FAILED),
        container("api", Status="created", Running=False),
        log="Traceback\nNameError: name 'oops' is not defined\n",
    )
    assert said.splitlines() == [
        "the migration api-migrate failed",
        "container api-migrate exited with 1",
        "  Traceback",
        "  NameError: name 'oops' is not defined",
        (
            "try: fix the migration and run `make dev` again; "
            "`make logs SERVICE=api-migrate` for the whole log"
        ),
    ]


def test_another_password_than_that_of_the_data(explain: Callable[..., str]) -> None:
    said = explain(
        'service "database-setup" didn\'t complete successfully: exit 2',
        container("database-setup", **FAILED | {"ExitCode": 2}),
        log='psql: error: FATAL:  password authentication failed for user "postgres"\n',
    )
    assert said.startswith(
        "the password in deploy/dev/.env is not the password of the existing data"
    )
    assert "restore the old POSTGRES_PASSWORD" in said


def test_an_unhealthy_container(explain: Callable[..., str]) -> None:
    health = {"Status": "unhealthy", "Log": [{"Output": "connection refused\n"}]}
    said = explain("", container("api", Health=health), log="listening on 9000\n")
    assert said.splitlines()[1:] == [
        "container api is unhealthy",
        "  health check: connection refused",
        "  listening on 9000",
        "try: `make logs SERVICE=api` for the whole log",
    ]


def test_an_unknown_failure_names_the_log(explain: Callable[..., str]) -> None:
    assert explain("strange\n").splitlines() == [
        "docker compose up failed",
        "strange",
        "try: see all output in .test-results/dev.log",
    ]


def test_an_image_that_does_not_build(startup: ModuleType) -> None:
    output = (
        "#5 ERROR\n------\n > [api 2/2] RUN false:\n0.1 no such thing\n------\nfailed to solve: x\n"
    )
    said = str(startup.build_problem(output))
    assert said.startswith("an image failed to build\n")
    assert "no such thing" in said


# THE USER'S ENVIRONMENT -----------------------------------------------------------
TARGETS = (
    *("dev", "dev-down", "dev-list", "dev-clean", "logs", "build", "test", "test-verbose"),
    *("test-watch", "test-integration", "test-infra-up", "test-infra-down", "test-clean"),
    *("test-clean-all", "doctor", "template-check", "template-update"),
)
FOREIGN = {
    "COMPOSE_PROJECT_NAME": "other", "COMPOSE_FILE": "/elsewhere/docker-compose.yml",
    "COMPOSE_PROFILES": "other", "COMPOSE_ENV_FILES": "/elsewhere/.env", "CDPATH": "/elsewhere",
    "COMPOSE_PATH_SEPARATOR": ",", "COMPOSE_DISABLE_ENV_FILE": "1", "COMPOSE_REMOVE_ORPHANS": "1",
    "GIT_DIR": "/elsewhere/.git", "GIT_WORK_TREE": "/elsewhere",
}  # fmt: skip
#: Replaces docker and uv: records its command and its environment, and answers check-tools.sh.
FAKE = """\
#!/bin/sh
{ echo "CALL ${0##*/} $*"; env; } >> "$RECORD"
case "$*" in *version*) echo 27.0.0 ;; esac
"""


@pytest.fixture(scope="module", params=[{"services": "api"}, {"layout": "single"}], ids=str)
def record(
    request: pytest.FixtureRequest, render: Render, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The commands that the targets start, each with its environment. All variables are set."""
    folder = tmp_path_factory.mktemp("fakes")
    for name in ("docker", "uv"):
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make", *TARGETS],
        cwd=render({"project_slug": "shop"} | request.param),
        env=os.environ | FOREIGN | {"PATH": path, "RECORD": str(folder / "record")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    calls = (folder / "record").read_text().split("CALL ")
    # check-tools.sh only asks for versions.
    return [call for call in calls[1:] if "version" not in call.splitlines()[0]]


@pytest.mark.parametrize("variable", FOREIGN)
def test_no_variable_of_the_user_reaches_a_command(record: list[str], variable: str) -> None:
    assert len(record) == len(TARGETS)
    assert [call for call in record if call.startswith("docker compose --file")]
    assert not [call for call in record if f"\n{variable}=" in call]


def test_the_scripts_ignore_the_variables_without_make(
    runner: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("API_PORT", "8001")
    processes = runner("processes")
    for env in (processes.own_environment(), processes.environment("run")):
        assert not env.keys() & FOREIGN.keys()
        assert env["API_PORT"] == "8001"
    assert processes.environment("run", COMPOSE_PROJECT_NAME="own")["COMPOSE_PROJECT_NAME"] == "own"


def test_the_json_of_no_environments(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.dev.show_list(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert machine.dev.show_list(as_json=False) == 0
    assert capsys.readouterr().out == "shop has no development environments on this machine\n"


def test_sources_that_only_their_owner_can_read(load_dev: Load, tmp_path: Path) -> None:
    mounts = load_dev("dev_environments.mounts")
    source = tmp_path / "api"
    (source / "inside").mkdir(parents=True)
    (source / "inside/main.py").write_text("")
    volume = {"type": "bind", "source": str(source), "target": "/app/api"}
    model = {"services": {"api": {"user": "${DEV_USER:-}", "volumes": [volume]}}}
    for path, mode in (
        (source, 0o755),
        (source / "inside", 0o755),
        (source / "inside/main.py", 0o644),
    ):
        path.chmod(mode)
    assert mounts.user(model) == ""

    owner = f"{os.getuid()}:{os.getgid()}"
    for path, mode in ((source / "inside/main.py", 0o640), (source / "inside", 0o700)):
        path.chmod(mode)
        assert mounts.user(model) in (owner, "0:0")  # 0:0 if the engine is rootless
        path.chmod(0o755)
    model["services"]["api"]["user"] = "1000"
    (source / "inside").chmod(0o700)
    assert mounts.user(model) == ""
