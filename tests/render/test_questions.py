"""copier.yml, and the names of the template's files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
import yaml

from . import pairwise
from .conftest import Project

#: What automation passes with --data: docs and users rely on these keys.
STABLE = {
    *("project_name", "project_slug", "description", "layout", "services", "service_kind"),
    *("database", "cache", "forge", "registry", "python_version", "node_version"),
    *("author_name", "author_email", "license"),
}

#: The order of a question's keys.
KEYS = ["type", "help", "choices", "placeholder", "default", "validator", "ask", "when"]

BANNERS = ["SETTINGS", "QUESTIONS", "COMPUTED", "TASKS", "MIGRATIONS"]

FILES = sorted(
    path.relative_to(pairwise.ROOT / "template")
    for path in (pairwise.ROOT / "template").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


@pytest.mark.parametrize("name", pairwise.questions())
def test_the_keys_of_a_question_come_in_one_order(name: str) -> None:
    found = list(pairwise.questions()[name])
    assert found == [key for key in KEYS if key in found]


@pytest.mark.parametrize("name", pairwise.asked())
def test_a_help_text_is_the_question_and_then_the_reasons(name: str) -> None:
    question, *reasons = pairwise.asked()[name]["help"].split("\n")
    # Copier puts its mark and a space before it, which are three columns, and does not wrap.
    assert re.fullmatch(r"[A-Z][^?:]*\?", question)
    assert len(question) <= 60
    for line in reasons:
        assert line.startswith("   ") and line == line.rstrip()
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


def test_what_is_asked_is_the_stable_interface() -> None:
    assert set(pairwise.asked()) == STABLE


def test_nothing_else_is_remembered(project: Project) -> None:
    remembered = yaml.safe_load((project.root / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name for name in remembered if not name.startswith("_")} <= STABLE | {"year", "adopted"}
    assert {name: remembered[name] for name in project.answers} == project.answers


def test_the_banners_come_in_order_and_each_holds_its_own() -> None:
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
        # What decides whether the next question is asked stands before it.
        assert where[name] in (["QUESTIONS"] if asked else ["COMPUTED", "QUESTIONS"]), name
    assert where.get("_tasks", "TASKS") == "TASKS"
    assert where.get("_migrations", "MIGRATIONS") == "MIGRATIONS"
    assert where["_subdirectory"] == "SETTINGS"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_of_the_template_has_a_name_that_works(path: PurePosixPath) -> None:
    for part in path.parts:
        assert not re.search(r'[<>:"|?*\\]', part), "Windows refuses it"
        assert part[-1] not in ". ", "Windows cuts it"
        assert len(part.encode()) <= 255
        assert part.count("{% yield") <= 1, "Copier takes one yield in a part"
        assert not re.search(r"\.jinja\{% end", part), "the suffix belongs behind the condition"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_a_file_with_jinja_in_it_has_the_suffix(path: PurePosixPath) -> None:
    text = (pairwise.ROOT / "template" / path).read_text(encoding="utf-8")
    if path.suffix == ".jinja":
        assert re.search(r"\{\{|\{%", text), "static files stay static: leave the suffix out"
