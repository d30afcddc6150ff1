"""Our own pages: their links have targets, and their tables match the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extensions.kinds import DEFAULT_KIND, KINDS

from ..conftest import ROOT
from ..render import pairwise

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")


def without_code(text: str) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and Gitea give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> list[str]:
    """Return the links in a page's text that have no target."""
    missing = []
    for path, anchor in LINK.findall(without_code(text)):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}" if anchor else path)
    return missing


def table(page: str, heading: str) -> dict[str, dict[str, str]]:
    """Return a table of a page: the cells of each row by the heading of their column.

    Args:
        page: the page's path, from the root of this repository.
        heading: the heading of the table's first column. The rows are returned by the first word of
            this column, without its code marks.
    """
    text = (ROOT / page).read_text()
    (found,) = re.findall(rf"^\| {heading} \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    titles, _, *rows = (
        [cell.strip() for cell in row.split("|")[1:-1]] for row in found.splitlines()
    )
    return {row[0].split()[0].strip("`"): dict(zip(titles, row, strict=True)) for row in rows}


def code(cell: str) -> list[str]:
    """Return the texts with code marks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_kinds_is_the_table_of_the_extension() -> None:
    rows = table("docs/generate.md", "kind")
    assert list(rows) == list(KINDS)
    for kind, row in KINDS.items():
        words = "any other word" if kind == DEFAULT_KIND else ", ".join(row.words)
        assert rows[kind]["chosen if the name contains"] == words
        assert rows[kind]["first port"] == str(row.first_port or "")
        assert code(rows[kind]["needs by default"]) == list(row.needs)


def test_the_table_of_questions_is_that_of_copier_yml() -> None:
    rows = table("docs/generate.md", "question")
    assert list(rows) == list(pairwise.asked())
    for name, question in pairwise.asked().items():
        choices = question.get("choices")
        if choices:
            values = list(choices.values() if isinstance(choices, dict) else choices)
            assert code(rows[name]["choices or form"]) == values
        default = question["default"]
        if isinstance(default, list):
            assert code(rows[name]["default"]) == default
        elif choices and "{" not in default:
            assert rows[name]["default"] == f"`{default}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_has_a_target(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {path for path, _ in LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} <= linked


@pytest.mark.parametrize("link", ["gone.md", "docs/gone.md#a", "docs/test.md#gone", "#gone"])
def test_a_broken_link_is_found(link: str) -> None:
    assert broken(ROOT / "README.md", f"See [this page]({link}).") == [link]
