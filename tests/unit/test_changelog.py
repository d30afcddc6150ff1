"""Every entry of CHANGELOG.md describes the effect of an update."""

from __future__ import annotations

import re
import subprocess

import pytest
from packaging.version import Version

from ..conftest import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADING = re.compile(r"## (Unreleased|(\d+\.\d+\.\d+\S*) - \d{4}-\d{2}-\d{2})")


def sections(text: str) -> dict[str, str]:
    """Return the text of each version by its heading."""
    parts = re.split(r"^(## .*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text: str) -> list[str]:
    """Return the entries of a version, one line for each."""
    return [" ".join(entry.split()) for entry in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]


@pytest.mark.parametrize("heading", sections(TEXT))
def test_every_entry_describes_the_effect_of_an_update(heading: str) -> None:
    assert HEADING.fullmatch(heading)
    found = entries(sections(TEXT)[heading])
    assert found or heading == "## Unreleased"
    for entry in found:
        assert re.search(r"When you update: \S.*\.(?: #|$)", entry), entry


@pytest.mark.parametrize("heading", sections(TEXT))
def test_every_entry_fits_a_terminal(heading: str) -> None:
    """An update prints the entries as they are."""
    lines = [line for line in sections(TEXT)[heading].splitlines() if line.startswith(("-", " "))]
    assert [line for line in lines if len(line) > 80] == []


def test_versions_come_newest_first() -> None:
    names = [match[2] for match in map(HEADING.fullmatch, sections(TEXT)) if match and match[2]]
    assert names == sorted(names, key=Version, reverse=True)


def test_every_release_has_its_entries() -> None:
    listing = ["git", "tag", "--list", "v[0-9]*"]
    tags = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True).stdout.split()
    names = [match[2] for match in map(HEADING.fullmatch, sections(TEXT)) if match and match[2]]
    # Before the first release, all entries are unreleased.
    assert set(tags) <= {f"v{name}" for name in names} or not names


def test_an_entry_without_the_effect_is_found() -> None:
    text = "## Unreleased\n\n- one\n  When you update: nothing.\n- two\n"
    assert [bool(re.search("When you update: ", e)) for e in entries(text)] == [True, False]
