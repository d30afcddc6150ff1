"""One build for the images of several stacks."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

API = {"image": "shop-test-x/api", "build": {"context": "/api"}}
WORKER = {"image": "shop-test-x/worker", "build": {"context": "/worker"}}


@pytest.fixture
def builds(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("builds")


def config(**services: Any) -> dict[str, Any]:
    return {"services": services}


def test_each_image_is_built_once(builds: ModuleType) -> None:
    database = {"image": "postgres:18"}
    api = API | {"environment": {"A": "1"}}
    stacks = [config(api=api, database=database), config(api=API, worker=WORKER), config()]
    assert builds.merged(stacks) == {"api": API, "worker": WORKER}


@pytest.mark.parametrize(
    "other",
    [
        None,
        config(api=API | {"build": {"context": "/other"}}),
        config(api=API | {"platform": "linux/arm64"}),
        config(own={"build": {"context": "/own"}}),
        config(own=WORKER | {"build": {"context": "/own", "secrets": [{"source": "key"}]}}),
        config(
            own=WORKER | {"build": {"context": "/", "additional_contexts": {"a": "service:api"}}}
        ),
    ],
)
def test_stacks_that_cannot_be_built_together(builds: ModuleType, other: Any) -> None:
    assert builds.merged([config(api=API), other]) is None


class Log(io.BytesIO):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.name = str(path)


@pytest.mark.parametrize("code", [0, 1])
def test_the_first_stack_builds_for_all(
    builds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    calls: list[tuple[str, ...]] = []

    def compose(*args: str, **_: Any) -> int:
        calls.append(args)
        return code

    stacks = [
        SimpleNamespace(
            traced=False, folder=tmp_path, compose=compose, shared=dict, config=config(api=API)
        ),
        SimpleNamespace(
            traced=False,
            folder=tmp_path,
            compose=compose,
            shared=dict,
            config=config(worker=WORKER),
        ),
    ]
    monkeypatch.setattr(builds, "resolved", lambda stack: stack.config)
    build = builds.SharedBuild(stacks)
    logs = [Log(tmp_path / "api.log"), Log(tmp_path / "worker.log")]
    done = [build.done(stack, log, lambda: False) for stack, log in zip(stacks, logs, strict=True)]
    assert done == [code == 0] * 2, "after a failure, each stack builds its own images"
    [args] = calls
    assert args[-1] == "build"
    written = json.loads((tmp_path / "api.build.json").read_text())
    assert written == {"services": {"api": API, "worker": WORKER}}
    assert (b"built for all stacks" in logs[1].getvalue()) == (code == 0)


def test_a_single_stack_builds_its_own_images(builds: ModuleType, tmp_path: Path) -> None:
    stack = SimpleNamespace(folder=tmp_path)
    assert not builds.SharedBuild([stack]).done(stack, Log(tmp_path / "a.log"), lambda: False)


def test_a_build_is_interrupted(builds: ModuleType, tmp_path: Path) -> None:
    build = builds.SharedBuild([])
    build._lock.acquire()  # Another stack builds.
    with pytest.raises(InterruptedError):
        build.done(SimpleNamespace(), Log(tmp_path / "a.log"), lambda: True)


def test_stacks_with_traces_are_built_one_by_one(builds: ModuleType, tmp_path: Path) -> None:
    stacks = [SimpleNamespace(traced=traced, folder=tmp_path) for traced in (False, True)]
    assert not builds.SharedBuild(stacks).done(stacks[0], Log(tmp_path / "a.log"), lambda: False)


def test_compose_does_not_hang_a_run(
    builds: ModuleType, runner: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = runner("compose")

    def run(*args: Any, timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(args[0], timeout)

    monkeypatch.setattr(compose.subprocess, "run", run)
    with pytest.raises(compose.DockerError, match="config did not answer within 60 seconds"):
        builds.resolved(compose.Stack("api", "x", "run"))
