"""The projects that the tests in this folder check."""

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
    """A rendered project and its answers."""

    name: str
    answers: dict[str, Any]
    root: Path

    def check(self, problems: list[str]) -> None:
        """Fail if there are problems, and print the answers that render the project."""
        if problems:
            lines = "\n  ".join(problems)
            pytest.fail(f"{self.name} of {self.answers}:\n  {lines}", pytrace=False)


@pytest.fixture(scope="session", params=SETS)
def project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """A project for each set of answers."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


@pytest.fixture(scope="session", params=pairwise.NAMED)
def named_project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """Each of the named projects."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


def one_of_each_kind() -> list[str]:
    """Return the named sets, and one other set for each list or kind of services."""
    found = {name: name for name in pairwise.NAMED}
    for name, answers in pairwise.pairwise().items():
        found.setdefault(str(answers.get("services", answers.get("service_kind"))), name)
    return list(found.values())


@pytest.fixture(scope="session", params=one_of_each_kind())
def varied_project(request: pytest.FixtureRequest, render: Callable[..., Path]) -> Project:
    """One project for each kind of service, for slow tests."""
    return Project(request.param, SETS[request.param], render(SETS[request.param]))


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Return a function that is true for the first test, in any process, that passes it a text.

    Most files are the same in many projects, and a linter needs to check each of them once.
    """
    base = tmp_path_factory.getbasetemp()
    # Each of xdist's workers has its own folder, inside one that they share.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seen"
    shared.mkdir(exist_ok=True)

    def asked(text: str) -> bool:
        try:
            (shared / hashlib.sha256(text.encode()).hexdigest()).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    return asked
