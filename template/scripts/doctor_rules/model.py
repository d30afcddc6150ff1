# Kept by the template: copier update merges its changes into this file.
"""A finding, a rule, and the registry of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .project import Project


class Severity(StrEnum):
    """How serious a finding is. Only errors make the command fail."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Edit:
    """A change that `--fix` makes: a part of a line is replaced, or a file is created."""

    path: str
    new: str
    line: int = 0  #: 0: create the file
    column: int = 0  #: of the first replaced character, from 0
    old: str = ""


@dataclass(frozen=True)
class Finding:
    """One mistake, with its place, its reason and its correction."""

    rule: str
    path: str  #: relative to the root
    line: int  #: from 1
    message: str  #: what is wrong
    why: str
    lines: str = ""  #: the exact lines to write
    severity: Severity = Severity.ERROR
    edit: Edit | None = None

    @property
    def order(self) -> tuple[str, int, str]:
        """The order of output."""
        return self.path, self.line, self.rule


Check = Callable[["Project"], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """What is checked. Its explanation is an anchor of the template's docs/doctor.md."""

    name: str
    title: str
    check: Check | None  #: None: another program reports it


RULES: dict[str, Rule] = {}

#: The page with an anchor for each rule.
PAGE = "https://github.com/copier-docker-services/copier-docker-services/blob/main/docs/doctor.md"


def rule(name: str, title: str) -> Callable[[Check], Check]:
    """Register a function that yields the findings of a rule."""

    def register(check: Check) -> Check:
        RULES[name] = Rule(name, title, check)
        return check

    return register


def external(name: str, title: str) -> None:
    """Register a rule that another program checks."""
    RULES[name] = Rule(name, title, None)
