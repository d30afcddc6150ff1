"""Reads and writes a project's answers, .copier-answers.yml."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from errors import RefusedError
from repository import Repository

ANSWERS_FILE = ".copier-answers.yml"

Answers = dict[str, Any]

#: Answers that the template stores without asking for them. An update does not recompute them.
REMEMBERED = frozenset({"year", "adopted", "makefile", "integration_commands"})


def committed_answers(repository: Repository) -> Answers:
    """Return the answers in a project's last commit."""
    found: Answers = yaml.safe_load(repository.git("show", f"HEAD:./{ANSWERS_FILE}"))
    return found


def answers_in(folder: Path) -> Answers:
    """Return the answers of the project in a folder."""
    found: Answers = yaml.safe_load((folder / ANSWERS_FILE).read_text(encoding="utf-8"))
    return found


def make_command(answers: Mapping[str, Any]) -> str:
    """Return the command for the make targets: an adopted project may have its own Makefile."""
    makefile = answers.get("makefile") or "Makefile"
    return "make" if makefile == "Makefile" else f"make -f {makefile}"


def parsed_answer(key: str, text: str) -> Any:
    """Parse an answer that was given as YAML.

    Raises:
        RefusedError: the text is not valid YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        raise RefusedError(
            f"{key} {text!r} is not valid YAML ({reason}); write a line such as 'api, worker', or a "
            "list such as [api, worker]"
        ) from None


def dumped(answers: Mapping[str, Any]) -> str:
    """Return answers as YAML, in their order."""
    return yaml.safe_dump(dict(answers), allow_unicode=True, sort_keys=False, width=sys.maxsize)
