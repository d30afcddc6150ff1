"""A folder in which no service is found: one clear line, and no file is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import conftest as samples

pytestmark = pytest.mark.programs

FOLDERS = {
    "notes": {"notes.txt": "mine\n"},
    "a library": {"pyproject.toml": '[project]\nname = "x"\n', "src/x/__init__.py": ""},
    "only public images": {"compose.yaml": "services: {db: {image: postgres}}\n"},
    "only an example": {"examples/web/Dockerfile": "FROM scratch\n"},
}


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_is_written_if_no_service_is_found(
    name: str, in_git: bool, template_copy: Path, tmp_path: Path
) -> None:
    for file, text in FOLDERS[name].items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    if in_git:
        samples.git("init", "--quiet", cwd=tmp_path)
    before = samples.snapshot(tmp_path)
    folders = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    done = samples.copier_copy(tmp_path, template_copy, "--quiet")
    assert done.returncode != 0
    assert samples.snapshot(tmp_path) == before
    assert sorted(path for path in tmp_path.rglob("*") if path.is_dir()) == folders
    [line] = done.stdout.splitlines()
    assert "no service" in line.lower()
