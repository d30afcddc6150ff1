"""What the runner asks of the engine's socket, and which images a build would use."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from types import ModuleType
from typing import Any

import pytest

#: What the engine knows. Other paths do not exist.
ANSWERS: dict[str, Any] = {
    "/version": {"Version": "26.1", "Os": "linux", "Arch": "amd64", "KernelVersion": "6"},
    "/images/own:1/json": {"Id": "sha256:own", "Os": "linux", "Architecture": "amd64"},
    "/images/arm:1/json": {"Id": "sha256:arm", "Os": "linux", "Architecture": "arm64"},
    "/containers/a/json": {"Id": "a"},
    "/volumes?filters=%7B%22label%22%3A+%5B%22x%3D1%22%5D%7D": {"Volumes": None},
    "/containers/json?filters=%7B%22label%22%3A+%5B%22x%3D1%22%5D%7D&all=1": [{"Id": "a"}],
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(ANSWERS.get(self.path)).encode()
        status = 200 if self.path in ANSWERS else 500 if self.path == "/broken" else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def address_string(self) -> str:
        return ""


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a substitute of the engine, which DOCKER_HOST names."""
    # The path of a socket has at most 104 characters, so it is not in tmp_path.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "docker.sock")
        with ThreadingUnixStreamServer(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
            yield path
            server.shutdown()
            thread.join()


@pytest.fixture
def engine(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("engine")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Docker's settings without any."""
    for name in ("BUILDX_BUILDER", "BUILDX_CONFIG", "DOCKER_CONTEXT", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("socket")
def test_answers_of_the_engine(engine: ModuleType) -> None:
    assert engine.get("/version")["Arch"] == "amd64"
    assert engine.get("/images/none/json") is None
    with pytest.raises(engine.NoSocketError, match="500"):
        engine.get("/broken")


def test_the_socket_is_that_of_the_docker_command(
    engine: ModuleType, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert engine.socket_path() == "/var/run/docker.sock"
    name = hashlib.sha256(b"desk").hexdigest()
    meta = settings / f"contexts/meta/{name}/meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": "unix:///desk.sock"}}}))
    (settings / "config.json").write_text('{"currentContext": "desk"}')
    assert engine.socket_path() == "/desk.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "none")
    with pytest.raises(engine.NoSocketError, match="context none"):
        engine.socket_path()
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    with pytest.raises(engine.NoSocketError):
        engine.get("/version")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{settings}/none")
    with pytest.raises(engine.NoSocketError):
        engine.get("/version")


@pytest.mark.usefixtures("socket")
def test_resources_are_found_over_the_socket(
    runner: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = runner("docker")
    monkeypatch.setattr(docker.shutil, "which", lambda _: "/bin/docker")
    monkeypatch.setattr(docker, "docker", None)  # It must not be called.
    assert docker.ids("container", "x=1") == ["a"]
    assert docker.ids("volume", "x=1") == []
    assert docker.inspect(["a", "gone"]) == [{"Id": "a"}]


@pytest.fixture
def asked(runner: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The base images that BuildKit was asked for. It knows none."""
    found: set[str] = set()

    def ask(_: object, names: set[str]) -> dict[str, str]:
        found.update(names)
        return {}

    monkeypatch.setattr(runner("stack_inputs").DockerEngine, "_ask_builder", ask)
    return found


@pytest.mark.usefixtures("socket", "settings")
def test_a_base_image_of_the_image_store_needs_no_builder(
    runner: Callable[[str], ModuleType], asked: set[str]
) -> None:
    names = [
        "own:1",
        "arm:1",
        "none:1",
        "--platform=linux/arm64 arm:1",
        "--platform=linux/arm64 own:1",
        "pinned:1@sha256:0a1b",
    ]
    assert runner("stack_inputs").DockerEngine().base_images(names) == {
        "own:1": "sha256:own",
        "--platform=linux/arm64 arm:1": "sha256:arm",
    }
    assert asked == {"arm:1", "none:1", "--platform=linux/arm64 own:1"}


@pytest.mark.usefixtures("socket")
@pytest.mark.parametrize(
    ("env", "file", "text"),
    [
        ({"BUILDX_BUILDER": "mine"}, "", ""),
        ({"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}, "", ""),
        ({}, "buildx/current", '{"Name": "mine"}'),
        ({}, "buildx/current", "?"),
        ({}, "buildx/defaults/0a1b", "mine"),
    ],
)
def test_another_builder_may_ignore_the_image_store(
    runner: Callable[[str], ModuleType],
    asked: set[str],
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    file: str,
    text: str,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    if file:
        (settings / file).parent.mkdir(parents=True)
        (settings / file).write_text(text)
    assert runner("stack_inputs").DockerEngine().base_images(["own:1"]) == {}
    assert asked == {"own:1"}


def test_base_images_of_another_platform(
    runner: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM go AS build\nFROM --platform=linux/s390x ibm\n"
        "FROM --platform=$TARGETPLATFORM same\nFROM --platform=linux/$ARCH odd\nFROM plain\n"
    )
    base_images = runner("stack_inputs").base_images
    build = {"context": str(tmp_path)}
    known = {"go", "--platform=linux/s390x ibm", "--platform=linux/$ARCH odd"}
    assert base_images(build) == {*known, "same", "plain"}
    there = {"--platform=linux/arm64 same", "--platform=linux/arm64 plain"}
    assert base_images(build, "linux/arm64") == known | there


def test_a_container_is_known_by_the_files_that_docker_mounts(
    runner: Callable[[str], ModuleType],
) -> None:
    own, other = "0a" * 32, "1b" * 32
    lines = (
        f"391 42 0:257 / /var/lib/docker/containers/{other}/mounts/secrets ro - tmpfs tmpfs ro\n"
        f"712 690 254:1 /var/lib/docker/containers/{own}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
    )
    assert runner("docker").OWN_MOUNT.findall(lines) == [own]


def test_a_user_without_a_home_folder_has_no_settings(
    engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert engine.settings()[1] == {}
