"""copier.yml, and the names of the template's files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
import yaml

from . import pairwise
from .conftest import Project

#: Automation passes these keys with --data, so they must not change.
STABLE = {
    *("project_name", "project_slug", "description", "layout", "services", "service_kind"),
    *("database", "cache", "forge", "registry", "python_version", "node_version"),
    *("orchestrator", "author_name", "author_email", "license"),
}

#: The computed answers that are stored, so that an update keeps them.
REMEMBERED = {"year", "adopted", "makefile", "integration_commands"}

#: The order of a question's keys.
KEYS = [
    *("type", "help", "choices", "multiselect", "placeholder", "default", "validator", "ask"),
    "when",
]

BANNERS = ["SETTINGS", "QUESTIONS", "COMPUTED", "TASKS", "MIGRATIONS"]

FILES = sorted(
    path.relative_to(pairwise.ROOT / "template")
    for path in (pairwise.ROOT / "template").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


@pytest.mark.parametrize("name", pairwise.questions())
def test_the_keys_of_a_question_are_in_order(name: str) -> None:
    found = list(pairwise.questions()[name])
    assert found == [key for key in KEYS if key in found]


@pytest.mark.parametrize("name", pairwise.asked())
def test_a_help_text_starts_with_the_question(name: str) -> None:
    question, *reasons = pairwise.asked()[name]["help"].split("\n")
    # Copier prints its mark and a space before it, which take three columns, and does not wrap.
    assert re.fullmatch(r"[A-Z][^?:]*\?", question)
    assert len(question) <= 60
    for line in reasons:
        # A note that is empty in a new folder.
        line = re.sub(r"\{\{.*?\}\}", "", line)
        assert line.startswith("   ") and line == line.rstrip()
        # A note that Jinja adds has lines of its own.
        line = re.sub(r"{{.*?}}", "", line)
        assert len(line.removeprefix("   ")) <= 72
    if reasons:
        assert reasons[-1].endswith(".")


@pytest.mark.parametrize("name", pairwise.asked())
def test_the_labels_of_choices_explain_the_values_in_a_column(name: str) -> None:
    choices = pairwise.asked()[name].get("choices")
    if not isinstance(choices, dict) or name == "license":
        return
    width = max(map(len, choices.values())) + 2
    for label, value in choices.items():
        assert label.startswith(f"{value}:".ljust(width))
        assert len(label) <= 72


@pytest.mark.parametrize("name", pairwise.questions())
def test_every_question_has_a_type_and_a_default(name: str) -> None:
    assert {"type", "default"} <= set(pairwise.questions()[name])


def test_the_questions_are_the_stable_interface() -> None:
    assert set(pairwise.asked()) == STABLE


def test_only_the_stable_answers_are_stored(project: Project) -> None:
    remembered = yaml.safe_load((project.root / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name for name in remembered if not name.startswith("_")} <= STABLE | REMEMBERED
    assert {name: remembered[name] for name in project.answers} == project.answers


def test_the_banners_are_in_order_and_have_the_right_keys() -> None:
    text = (pairwise.ROOT / "copier.yml").read_text(encoding="utf-8")
    found = re.findall(r"^# ([A-Z]+) -+$", text, re.MULTILINE)
    assert found == [banner for banner in BANNERS if banner in found]
    sections = dict(
        zip(found, re.split(r"^# [A-Z]+ -+$", text, flags=re.MULTILINE)[1:], strict=True)
    )
    where = {
        key: banner
        for banner, section in sections.items()
        for key in re.findall(r"^(\w+):", section, re.MULTILINE)
    }
    for name in pairwise.questions():
        asked = name in pairwise.asked()
        # An answer that decides whether a question is asked must come before the question.
        assert where[name] in (["QUESTIONS"] if asked else ["COMPUTED", "QUESTIONS"]), name
    assert where.get("_tasks", "TASKS") == "TASKS"
    assert where.get("_migrations", "MIGRATIONS") == "MIGRATIONS"
    assert where["_subdirectory"] == "SETTINGS"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_of_the_template_has_a_valid_name(path: PurePosixPath) -> None:
    for part in path.parts:
        assert not re.search(r'[<>:"|?*\\]', part), "invalid on Windows"
        assert part[-1] not in ". ", "invalid on Windows"
        assert len(part.encode()) <= 255
        assert part.count("{% yield") <= 1, "Copier accepts one yield in a part of a path"
        assert not re.search(r"\.jinja\{% end", part), "the suffix must follow the condition"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_a_file_with_jinja_has_the_suffix(path: PurePosixPath) -> None:
    text = (pairwise.ROOT / "template" / path).read_text(encoding="utf-8")
    if path.suffix == ".jinja":
        assert re.search(r"\{\{|\{%", text), "static files stay static: leave the suffix out"
