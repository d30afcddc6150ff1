"""The sections of the changelog that .ci/release-notes prints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CHANGELOG = """\
# Changelog

All of it.

## Unreleased

## 1.10.0 - 2026-03-01

### Added

- Something `new`.

  ## Not a heading

## 1.1.0 - 2026-02-01

- Less.

## 1.0.0 - 2026-01-01
"""


def notes(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci/release-notes", tmp_path / ".ci")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return subprocess.run([tmp_path / ".ci/release-notes", *args], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("v1.10.0", "### Added\n\n- Something `new`.\n\n  ## Not a heading\n"),
        ("v1.1.0", "- Less.\n"),
        ("v1.1.0-rc.1", "- Less.\n"),
    ],
)
def test_the_section_of_a_version(tmp_path: Path, tag: str, text: str) -> None:
    done = notes(tmp_path, tag)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


@pytest.mark.parametrize("tag", ["v1.0.0", "v1.1", "v2.0.0", "v2.0.0-rc.1", "v1.1.0.0", "v.*"])
def test_a_version_without_a_section(tmp_path: Path, tag: str) -> None:
    done = notes(tmp_path, tag)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CHANGELOG.md has no text under '## ")
    assert len(done.stderr.splitlines()) == 1


def test_without_a_tag(tmp_path: Path) -> None:
    assert notes(tmp_path).returncode == 2
