"""The answers that are given by `--data` and `--data-file`, checked before Copier reads them.

Copier ignores an unknown name, and prints a traceback for a value that it cannot convert. The first
question calls this check, because it is the first code of this template that runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .rules import AnswerError


def questions_of(template: Path) -> dict[str, dict[str, Any]]:
    """Return the questions of a template, by name."""
    found = yaml.safe_load((template / "copier.yml").read_text(encoding="utf-8"))
    return {name: question for name, question in found.items() if not name.startswith("_")}


def check_given(
    given: Mapping[str, Any], questions: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]
) -> None:
    """Refuse unknown names, and values of a wrong type.

    Args:
        given: the answers from the command line and from a data file.
        questions: the questions of copier.yml.
        known: the answers of the existing project.
    """
    # Every answers file has a year, and may be of a version with other questions.
    if "year" not in given:
        for name in given:
            if name not in questions and name not in known:
                close = difflib.get_close_matches(name, questions, n=1, cutoff=0.6)
                hint = f"do you mean {close[0]!r}?" if close else f"choose from {_asked(questions)}"
                raise AnswerError(f"there is no question {name!r}; {hint}")
    for name, value in given.items():
        if name in questions:
            _check_value(name, value, questions[name])


def _asked(questions: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(name for name, question in questions.items() if "help" in question)


def _check_value(name: str, value: Any, question: Mapping[str, Any]) -> None:
    if question.get("multiselect"):
        _check_values(name, value, [*question["choices"].values()])
        return
    if question["type"] == "str" and (value is None or isinstance(value, list | dict)):
        kind = "nothing" if value is None else f"a {type(value).__name__}"
        raise AnswerError(f"{name} is {kind}, but it must be text; put the text into quotes")
    if choices := question.get("choices"):
        values = [*choices.values()] if isinstance(choices, dict) else choices
        if str(value) not in values:
            raise AnswerError(
                f"{name} {str(value)!r} is unknown; choose one of {', '.join(values)}"
            )
    if question["type"] == "yaml" and isinstance(value, str):
        try:
            yaml.safe_load(value)
        except yaml.YAMLError:
            raise AnswerError(
                f"{name} {value!r} is not valid YAML; check the brackets, the quotes and the colons"
            ) from None


def _check_values(name: str, given: Any, choices: list[str]) -> None:
    """Refuse an answer that is not a list of choices, or is empty. Copier drops unknown ones."""
    found = given
    if isinstance(given, str):
        try:
            found = yaml.safe_load(given)
        except yaml.YAMLError:
            found = given
    if not isinstance(found, list):
        raise AnswerError(
            f"{name} {given!r} must be a list; for example -d '{name}=[{', '.join(choices[::2])}]'"
        )
    for value in found:
        if value not in choices:
            raise AnswerError(f"{name} {str(value)!r} is unknown; choose from {', '.join(choices)}")
    if not found:
        raise AnswerError(f"{name} is empty; choose at least one")
