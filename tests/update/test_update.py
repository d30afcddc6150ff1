"""Updates across versions: every edit stays, and the rest is as in a new project.

The tests edit lines that the two versions share, so that no edit conflicts with a change of the
template.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from _pytest.mark import ParameterSet

from ..conftest import ROOT
from ..render import pairwise
from .conftest import (
    ANSWERS,
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
    git,
    is_templates,
    releases,
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

#: The template's files that are edited, as patterns. Only the first match of each is edited.
EDITED = (
    *("**/Dockerfile", "deploy/dev/docker-compose.yml", "deploy/prod/docker-compose.yml"),
    *("deploy/prod/docker-compose.build.yml", "**/deploy/test/docker-compose.yml", "Makefile"),
    *("services/*/Makefile", "**/nginx.conf", "tests/integration/*.py"),
    *(".git*/workflows/ci.yml", "deploy/prod/.env.example", "scripts/stack.py", ".gitignore"),
    # Both were renamed after OLD[-1].
    *("scripts/test_runner/stacks.py", "scripts/test_runner/verdict.py"),
)

OVERRIDE = "deploy/dev/docker-compose.override.yml"
OWN_SERVICE = "services:\n  mail:\n    image: axllent/mailpit:v1.27\n"


def shared_line(old: str, new: str) -> int:
    """Return the index in the middle of the longest block of lines that two versions share."""
    one, other = old.splitlines(), new.splitlines()
    match = difflib.SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return match.a + (match.size + 1) // 2


def edit(
    project: Project,
    old: Mapping[str, bytes],
    new: Mapping[str, bytes],
    new_path: Callable[[str], str],
) -> dict[str, str]:
    """Insert a line into every file of the user's, and into many of the template's.

    Args:
        project: the project, as the old version rendered it.
        old: the files of the old version.
        new: the files of the new version.
        new_path: returns the path of an old file in the new version.

    Returns:
        The inserted lines by file.
    """
    names = {
        found[0].relative_to(project.root).as_posix()
        for pattern in EDITED
        if (found := sorted(project.root.glob(pattern)))
    }
    names |= {name for name in old if not is_templates(name, old, new) and old[name].strip()}
    lines = {}
    for name in sorted(names):
        text = project.read(name)
        line = COMMENTS.get(Path(name).suffix, "# {}\n").format(f"mine in {name}")
        kept = text.splitlines(keepends=True)
        kept.insert(shared_line(text, new.get(new_path(name), old[name]).decode()), line)
        project.write(name, "".join(kept), project.path(name).stat().st_mode & 0o777)
        lines[name] = line
    return lines


def renames(steps: ModuleType, project: Project, old: str) -> Any:
    """Return the `Change` with the renames of all steps after an old version."""
    change = steps.Change(dict(project.answers()))
    for step in steps.steps_between(old, NEXT):
        step(change)
    return change


@functools.cache
def old_questions(old: str) -> dict[str, Any]:
    """Return copier.yml of an old version."""
    found: dict[str, Any] = yaml.safe_load(git("show", f"{releases()[old]}:copier.yml", cwd=ROOT))
    return found


def offered(answers: Mapping[str, Any], old: str) -> dict[str, Any]:
    """Return answers that an old version accepts: its first choice instead of a newer one."""
    questions, found = old_questions(old), {}
    for name, answer in answers.items():
        if name in questions:
            has_choices = "choices" in questions[name]
            choices = pairwise.values(name, questions[name]) if has_choices else [answer]
            found[name] = answer if answer in choices else choices[0]
    if "services" in found:
        kinds = pairwise.values("service_kind", questions["service_kind"])
        found["services"] = of_kinds(kinds, found["services"])
    return found


def of_kinds(kinds: Sequence[str], services: Any) -> Any:
    """Return a list of services with the first of some kinds instead of every other kind."""

    def known(text: str) -> str:
        return re.sub(r":([\w-]+)", lambda it: it[0] if it[1] in kinds else f":{kinds[0]}", text)

    if isinstance(services, str):
        return known(services)
    return [
        known(item)
        if isinstance(item, str)
        else {**item, **({"kind": kinds[0]} if item.get("kind", kinds[0]) not in kinds else {})}
        for item in services
    ]


#: The sets of answers in the default run, which updates each of them from the newest version.
SAMPLE = ("multi", "multi-custom", "single-python-api", "single-node-web")


def every_update() -> Iterator[ParameterSet]:
    """Yield each set of answers with each old version. The default run has only a sample."""
    for old in OLD:
        for name in SETS:
            is_sample = name in SAMPLE if old == OLD[-1] else name == "multi"
            marks = () if is_sample else pytest.mark.drills
            yield pytest.param(name, old, marks=marks, id=f"{name}-from-{old}")


@pytest.mark.parametrize(("name", "old"), list(every_update()))
def test_every_edit_stays_and_the_rest_is_as_new(
    name: str,
    old: str,
    generate: Generate,
    fresh: Fresh,
    merge: Callable[..., tuple[int, str]],
    steps: ModuleType,
) -> None:
    """The only conflict is the line that both sides changed; the file contains both changes.

    A second update changes nothing.
    """
    answers = {"python_version": "3.13"} | offered(SETS[name], old)
    project = generate(answers, old)
    change = renames(steps, project, old)
    before = {change.new_path(path): text for path, text in files(fresh(answers, old)).items()}
    # An update keeps all answers, also those whose default is another now.
    kept = {key: value for key, value in change.answers.items() if not key.startswith("_")}
    # v0.0.2 stored the names of the adopted services, without their commands.
    kept["adopted"] = {name: {} for name in kept.get("adopted") or []}
    after = files(fresh(kept, NEXT))
    lines = edit(project, files(fresh(answers, old)), after, change.new_path)
    assert len(lines) >= 12
    project.write(OVERRIDE, OWN_SERVICE)
    project.write("deploy/dev/.env", "API_PORT=1\n")
    text = project.read(NEXT_FILE)
    project.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
    project.commit()

    if name == "multi":
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
        path = change.new_path(path)
        assert found[path].decode().count(line) == 1, f"{path} has lost its line"
        found[path] = found[path].decode().replace(line, "").encode()
    del found[NEXT_FILE]
    assert found.pop(OVERRIDE).decode() == OWN_SERVICE
    assert found.pop("deploy/dev/.env") == b"API_PORT=1\n"
    wanted = expected(before, after)
    del wanted[NEXT_FILE]
    same_answers(found, wanted)
    assert found == wanted

    project.write(NEXT_FILE, after[NEXT_FILE].decode())
    project.commit("update")
    assert merge(project, "update", f"--ref={NEXT}")[0] == 0
    assert project.status() == []


def with_parsed_answers(files: dict[str, bytes]) -> dict[str, Any]:
    """Return files with parsed answers: plain Copier stores a new question's answer in another line."""
    return {**files, ANSWERS: yaml.safe_load(files[ANSWERS])}


@pytest.mark.parametrize(
    "name",
    [
        "multi",
        pytest.param("multi-custom", marks=pytest.mark.drills),
        pytest.param("single-python-api", marks=pytest.mark.drills),
    ],
)
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
    assert with_parsed_answers(project.files()) == with_parsed_answers(ours)
    project.commit("update")
    assert project.template("update", f"--version={NOW}").splitlines()[-1] == (
        f"This project already uses {NOW}."
    )
    project.copier(f"--vcs-ref={NOW}")
    assert project.status() == []


def test_edits_survive_plain_copier_too(
    generate: Generate, fresh: Fresh, steps: ModuleType
) -> None:
    answers: dict[str, Any] = {"cache": "redis"}
    project = generate(answers, OLD[0])
    before = files(fresh({"python_version": "3.13"} | answers, OLD[0]))
    after = files(fresh({"python_version": "3.13"} | answers, NEXT))
    edit(project, before, after, renames(steps, project, OLD[0]).new_path)
    text = project.read(NEXT_FILE)
    project.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
    project.write(OVERRIDE, OWN_SERVICE)
    project.commit()
    project.template("update", f"--version={NEXT}", code=1)
    ours, status = project.files(), project.status()
    project.undo()
    output = project.copier(f"--vcs-ref={NEXT}")
    assert with_parsed_answers(project.files()) == with_parsed_answers(ours)
    assert project.status() == status
    assert f"conflict: {NEXT_FILE}:" in output


@pytest.mark.skipif("v0.0.2" not in OLD, reason="no released version renders these files")
def test_the_users_files_that_the_template_no_longer_renders_stay(
    generate: Generate, merge: Callable[..., tuple[int, str]]
) -> None:
    """Edited or not, committed or removed: the update neither changes nor mentions them."""
    project = generate({"services": "worker, mail-worker"}, "v0.0.2")
    waiting = [f"services/{name}/tests/waiting.py" for name in ("worker", "mail-worker")]
    project.append(waiting[0], "# mine\n")
    project.path("services/worker/tests/unit/test_waiting.py").unlink()
    project.commit()
    before = {name: project.read(name) for name in waiting}
    code, output = merge(project, "update", f"--ref={NOW}")
    assert code == 0
    assert "waiting.py" not in output
    assert {name: project.read(name) for name in waiting} == before
    assert project.path("services/mail-worker/tests/unit/test_waiting.py").exists()
    assert not project.path("services/worker/tests/unit/test_waiting.py").exists()
