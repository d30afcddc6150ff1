"""Updates across versions: every edit stays, and the rest is as in a new project.

The tests edit lines that the two versions share, so that no edit conflicts with a change of the
template.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import pytest

from ..render import pairwise
from .conftest import (
    NEXT,
    NEXT_FILE,
    NEXT_LINES,
    NOW,
    OLD,
    Fresh,
    Generate,
    Project,
    expected,
    files,
    same_answers,
)

SETS = {**pairwise.NAMED, **pairwise.pairwise()}

#: The form of a user's line by the file's suffix; the default is a `#` comment.
COMMENTS = {
    **dict.fromkeys((".ts", ".js"), "// {}\n"),
    **dict.fromkeys((".md", ".html"), "<!-- {} -->\n"),
    ".json": '  "{}": "mine",\n',
    ".css": "/* {} */\n",
}

#: The files that are edited, as patterns. Only the first match of each pattern is edited.
EDITED = (
    *("**/Dockerfile", "deploy/dev/docker-compose.yml", "deploy/prod/docker-compose.yml"),
    *("deploy/prod/docker-compose.build.yml", "**/deploy/test/docker-compose.yml", "Makefile"),
    *(".git*/workflows/ci.yml", "README.md", "deploy/prod/.env.example"),
    *("**/main.py", "**/main.ts", "**/app.py", "**/tests/**/test_*.py", "**/tests/**/*.test.ts"),
    *("**/pyproject.toml", "**/package.json"),
)

OVERRIDE = "deploy/dev/docker-compose.override.yml"
OWN_SERVICE = "services:\n  mail:\n    image: axllent/mailpit:v1.27\n"


def shared_line(old: str, new: str) -> int:
    """Return the index in the middle of the longest block of lines that two versions share."""
    one, other = old.splitlines(), new.splitlines()
    match = difflib.SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return match.a + (match.size + 1) // 2


def edit(project: Project, old: dict[str, bytes], new: dict[str, bytes]) -> dict[str, str]:
    """Insert a line into many files. Return the lines by file."""
    lines = {}
    for pattern in EDITED:
        found = sorted(path.relative_to(project.root) for path in project.root.glob(pattern))
        if not found:
            continue
        name = found[0].as_posix()
        text = project.read(name)
        line = COMMENTS.get(found[0].suffix, "# {}\n").format(f"mine in {name}")
        kept = text.splitlines(keepends=True)
        kept.insert(shared_line(text, new.get(name, old[name]).decode()), line)
        project.write(name, "".join(kept), project.path(name).stat().st_mode & 0o777)
        lines[name] = line
    return lines


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize("name", SETS)
def test_every_edit_stays_and_the_rest_is_as_new(
    name: str,
    old: str,
    generate: Generate,
    fresh: Fresh,
    merge: Callable[..., tuple[int, str]],
) -> None:
    """The only conflict is the line that both sides changed; the file contains both changes."""
    project = generate(SETS[name], old)
    answers = {"python_version": "3.13"} | SETS[name]
    before, after = files(fresh(answers, old)), files(fresh(answers, NEXT))
    lines = edit(project, before, after)
    assert len(lines) >= 8
    project.write(OVERRIDE, OWN_SERVICE)
    project.write("deploy/dev/.env", "API_PORT=1\n")
    text = project.read(NEXT_FILE)
    project.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
    project.commit()

    if name in pairwise.NAMED:
        output = project.template("update", f"--version={NEXT}", code=1)
    else:
        code, output = merge(project, "update", f"--ref={NEXT}")
        assert code == 1

    number = project.read(NEXT_FILE).splitlines().index("<<<<<<< before updating") + 1
    assert re.findall(r"^conflict: (.*)$", output, re.MULTILINE) == [f"{NEXT_FILE}:{number}"]
    for side in ("indent_size = 8\n", NEXT_LINES[1]):
        assert side in project.read(NEXT_FILE)
    assert [line for line in project.status() if line[:2] == "UU"] == [f"UU {NEXT_FILE}"]
    # Everything else is staged.
    assert not [line for line in project.status() if line[1] != " " and line[:2] != "UU"]
    found = project.files()
    for path, line in lines.items():
        assert found[path].decode().count(line) == 1, f"{path} has lost its line"
        found[path] = found[path].decode().replace(line, "").encode()
    del found[NEXT_FILE]
    assert found.pop(OVERRIDE).decode() == OWN_SERVICE
    assert found.pop("deploy/dev/.env") == b"API_PORT=1\n"
    wanted = expected(before, after)
    del wanted[NEXT_FILE]
    same_answers(found, wanted)
    assert found == wanted


@pytest.mark.parametrize("name", ["multi", "multi-custom", "single-python-api"])
def test_a_second_update_changes_nothing_and_plain_copier_has_the_same_result(
    name: str, generate: Generate
) -> None:
    project = generate(SETS[name], OLD[0])
    project.template("update", f"--version={NOW}")
    ours = project.files()
    assert project.status()
    project.undo()
    assert project.status() == []
    project.copier(f"--vcs-ref={NOW}")
    assert project.files() == ours
    project.commit("update")
    assert project.template("update", f"--version={NOW}").splitlines()[-1] == (
        f"{NOW} is the newest version."
    )
    project.copier(f"--vcs-ref={NOW}")
    assert project.status() == []


def test_edits_survive_plain_copier_too(generate: Generate, fresh: Fresh) -> None:
    answers: dict[str, Any] = {"cache": "redis"}
    project = generate(answers, OLD[0])
    before = files(fresh({"python_version": "3.13"} | answers, OLD[0]))
    after = files(fresh({"python_version": "3.13"} | answers, NEXT))
    edit(project, before, after)
    text = project.read(NEXT_FILE)
    project.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
    project.write(OVERRIDE, OWN_SERVICE)
    project.commit()
    project.template("update", f"--version={NEXT}", code=1)
    ours, status = project.files(), project.status()
    project.undo()
    output = project.copier(f"--vcs-ref={NEXT}")
    assert project.files() == ours
    assert project.status() == status
    assert f"conflict: {NEXT_FILE}:" in output
