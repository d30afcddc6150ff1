"""The parts of scripts/stack.py. tests/e2e/test_stack.py runs it with real stacks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.projects import Stacks

Render = Callable[[Mapping[str, Any]], Path]


@pytest.fixture
def rendered(render: Render) -> Path:
    return render({"project_slug": "shop", "services": "api:custom, core:custom"})


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Stacks:
    return Stacks(rendered, tmp_path / "shop", "shop")


@pytest.fixture
def module(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("compose")


def container(ports: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    service = {"com.docker.compose.service": "api"}
    return {
        "Id": "0123456789ab",
        "State": {"Running": True},
        "Name": "/shop-api-1",
        "Config": {"Labels": service | dict(labels or {})},
        "NetworkSettings": {
            "Ports": ports,
            "Networks": {
                "other": {"NetworkID": "another", "IPAddress": "172.19.0.2"},
                "own": {"NetworkID": "the stack's", "IPAddress": "172.18.0.2"},
            },
        },
    }


@pytest.mark.parametrize(
    "bindings",
    [
        [{"HostIp": "127.0.0.1", "HostPort": "49153"}],
        [{"HostIp": "::1", "HostPort": "49153"}],
        [{"HostIp": "0.0.0.0", "HostPort": "49153"}, {"HostIp": "::", "HostPort": "49154"}],
    ],
)
def test_the_published_port(module: ModuleType, bindings: list[dict[str, str]]) -> None:
    ports = {"8000/tcp": bindings, "9000/tcp": [{"HostIp": "", "HostPort": "1"}]}
    assert module.docker.published_port(container(ports), 8000) == 49153


@pytest.mark.parametrize("ports", [{}, {"8000/tcp": None}, {"8000/tcp": []}, {"8000/udp": [{}]}])
def test_a_port_that_is_not_published(module: ModuleType, ports: Mapping[str, Any]) -> None:
    with pytest.raises(module.DockerError, match="shop-api-1 does not publish port 8000"):
        module.docker.published_port(container(ports), 8000)


@pytest.fixture
def addresses(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Return a function that returns the addresses of a stack of fake containers."""

    def found(*containers: dict[str, Any], own: str = "") -> dict[str, str]:
        monkeypatch.setattr(module.docker, "containers", lambda *_: list(containers))
        monkeypatch.setattr(module.docker, "own_container", lambda: own)
        monkeypatch.setattr(module.docker, "join", lambda *_: frozenset({"the stack's"}))
        answer: dict[str, str] = module.Stack("api", "main-1", "run").addresses()
        return answer

    return found


PORTS = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "49153"}]}


@pytest.mark.parametrize(
    ("label", "outside", "inside"),
    [
        (
            "TEST_API_URL=http://HOST:8000",
            "http://127.0.0.1:49153",
            "http://172.18.0.2:8000",
        ),
        (
            "TEST_API_URL=postgresql://u:p@HOST:8000/db?x=y",
            "postgresql://u:p@127.0.0.1:49153/db?x=y",
            "postgresql://u:p@172.18.0.2:8000/db?x=y",
        ),
    ],
)
def test_addresses(
    addresses: Callable[..., dict[str, str]], label: str, outside: str, inside: str
) -> None:
    one, quiet = container(PORTS, {"test.url": label}), container({})
    assert addresses(one, quiet) == {"TEST_API_URL": outside}
    assert addresses(one, quiet, own="me") == {"TEST_API_URL": inside}


@pytest.mark.parametrize("label", ["", "TEST_API_URL", "TEST_API_URL=http://x:8000", "X=HOST:y"])
def test_a_label_without_an_address(
    module: ModuleType, addresses: Callable[..., dict[str, str]], label: str
) -> None:
    with pytest.raises(module.StackError, match="label test.url .* must be VARIABLE=URL"):
        addresses(container(PORTS, {"test.url": label}))


def test_scopes(project: Stacks, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOT", project.root)
    assert module.known_scopes() == []
    for scope in ("web", "api", "full"):
        project.stack(scope, "{}")
    assert module.known_scopes() == ["api", "web", "full"]


def test_the_compose_project_carries_slug_instance_and_scope(
    module: ModuleType,
) -> None:
    assert module.Stack("api", "main-1", "run").project == "shop-test-main-1-api"


@pytest.mark.parametrize(
    "arguments",
    [[], ["start"], ["run"], ["env"], ["run", "api"], ["run", "api", "--"], ["clean", "api"]]
    + [["clean-all", "--force"], ["env", "api", "core"]],
    ids=" ".join,
)
def test_wrong_usage(project: Stacks, arguments: list[str]) -> None:
    done = project.call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "stack.py" in done.stderr


def test_help(project: Stacks) -> None:
    done = project.call("--help")
    assert done.returncode == 0
    for command in ("run", "up", "env", "down", "clean", "clean-all"):
        assert re.search(rf"^    {command} ", done.stdout, re.MULTILINE)


def test_an_invalid_instance_id(project: Stacks) -> None:
    done = project.call("up", "api", TEST_INSTANCE_ID="Main")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("TEST_INSTANCE_ID Main is invalid")


def test_an_unknown_stack(project: Stacks) -> None:
    project.stack("api", "{}")
    done = project.call("up", "web")
    assert done.returncode == 3
    assert done.stderr == "no test stack 'web': choose from api\n"


def test_a_machine_without_docker(project: Stacks, tmp_path: Path) -> None:
    project.stack("api", "{}")
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "")
    for arguments in (["up", "api"], ["run", "api", "true"], ["down", "api"], ["clean"]):
        done = project.call(*arguments, PATH=str(tmp_path))
        assert done.returncode == 3
        assert done.stderr == "docker is not installed or not on the PATH\n"
