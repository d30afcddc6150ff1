"""The projects that the tests of this folder read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import pairwise

SETS = {**pairwise.NAMED, **pairwise.pairwise()}


@dataclass(frozen=True)
class Project:
    """A rendered project, and the answers that it was made of."""

    name: str
    answers: dict[str, Any]
    root: Path

    def check(self, problems: list[str]) -> None:
        """Fail with a project's problems, and say how it is made again."""
        if problems:
            lines = "\n  ".join(problems)
            pytest.fail(f"{self.name} of {self.answers}:\n  {lines}", pytrace=False)


@pytest.fixture(scope="session", params=SETS)
def project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """Return one project after the other, of all the sets of answers."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


@pytest.fixture(scope="session", params=pairwise.NAMED)
def named_project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """Return one of the few named projects after the other."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


def one_of_each_kind() -> list[str]:
    """Return the named sets, and the first of the others for each list or kind of services."""
    found = {name: name for name in pairwise.NAMED}
    for name, answers in pairwise.pairwise().items():
        found.setdefault(str(answers.get("services", answers.get("service_kind"))), name)
    return list(found.values())


@pytest.fixture(scope="session", params=one_of_each_kind())
def varied_project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """Return one project for each kind of services: for what takes long."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Return the function that says whether no test, in any process, has asked for a text before.

    Most files are the same in many projects; a linter needs to see each of them once.
    """
    base = tmp_path_factory.getbasetemp()
    # xdist gives each of its workers a folder of its own in one that they share.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seen"
    shared.mkdir(exist_ok=True)

    def asked(text: str) -> bool:
        try:
            (shared / hashlib.sha256(text.encode()).hexdigest()).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    return asked
