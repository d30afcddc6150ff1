"""How scripts/template.py of a project parses versions, the changelog and the command line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Self

import pytest


@pytest.fixture(scope="session")
def script(load: Callable[[str], ModuleType]) -> ModuleType:
    """Return scripts/template.py as a module."""
    return load("template/scripts/template.py")


CHANGELOG = """\
# Changelog

## Unreleased

- soon

## 1.1.0 - 2026-03-01

- second

## [1.0.0] - 2026-02-01

- first

## 0.9.0

- before

[1.0.0]: https://example.com
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("v1.0.0", "v1.1.0", ["second"]),
        ("v0.9.0", "v1.0.0", ["first"]),
        ("v0.9.0", "v1.1.0", ["second", "first"]),
        ("v1.1.0", "v1.1.0", []),
        ("v1.1.0", "abcdef0", ["soon"]),
        ("19f32ca", "v1.1.0", ["second", "first", "before"]),
    ],
)
def test_the_changelog_between_two_versions(
    script: ModuleType, old: str, new: str, found: list[str]
) -> None:
    lines = list(script.between(CHANGELOG, old, new))
    assert [line[2:] for line in lines if line.startswith("- ")] == found


@pytest.mark.parametrize(
    ("tag", "release"),
    [
        ("v1.2.3", True),
        ("1.2.3", True),
        ("v1.2.3-rc.1", False),
        ("latest", False),
        ("v1.2", True),
        ("1234567", False),
    ],
)
def test_which_tags_are_releases(script: ModuleType, tag: str, release: bool) -> None:
    assert script.is_release(tag) == release


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("gh:org/name", "https://github.com/org/name.git"),
        ("gh:org/name.git", "https://github.com/org/name.git"),
        ("gh:/org/name", "https://github.com/org/name.git"),
        ("gl:group/sub/name", "https://gitlab.com/group/sub/name.git"),
        ("git+https://example.com/x", "https://example.com/x"),
        ("git@example.com:org/name.git", "git@example.com:org/name.git"),
        ("/srv/template", "/srv/template"),
    ],
)
def test_short_addresses_have_the_meaning_that_copier_gives_them(
    script: ModuleType, source: str, address: str
) -> None:
    assert script.full_address(source) == address


class Interrupting:
    """A process that is interrupted while it runs, and then ends with an exit code."""

    def __init__(self, module: ModuleType, code: int) -> None:
        self.interrupted = iter([module.SignalInterrupt()])
        self.code = code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def terminate(self) -> None:
        pass

    def wait(self) -> int:
        for interrupted in self.interrupted:
            raise interrupted
        return self.code


@pytest.mark.parametrize(("code", "returned"), [(0, 0), (1, 1), (130, 130), (-15, 130), (3, 130)])
def test_a_merge_that_completes_despite_the_signal_counts_as_done(
    script: ModuleType, code: int, returned: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/migrate.py").touch()
    monkeypatch.setattr(script.subprocess, "Popen", lambda *_, **__: Interrupting(script, code))
    monkeypatch.setattr(script, "ignore_signals", lambda: None)
    project = script.Project(tmp_path, "", "", "make")
    template = SimpleNamespace(folder=tmp_path)
    assert script.run_merge(project, template, "v1", [], tmp_path) == returned


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("update", "update"),
        ("update -d a=1 --data b=2 --version v1", "update --data=a=1 --data=b=2"),
        ("add-service a b:custom", "add-service a b:custom"),
        (
            "add-service a --kind custom --needs x --needed-by y",
            "add-service a --kind=custom --needs=x --needed-by=y",
        ),
        ("remove-service a b --delete", "remove-service a b --delete"),
        ("rename-service a b --to c d", "rename-service a b --to c d"),
        ("grow --name api", "grow --name=api"),
    ],
)
def test_the_merge_gets_the_request(script: ModuleType, given: str, passed_on: str) -> None:
    options = script.parse(given.split())
    assert script.for_merge(options) == passed_on.split()


@pytest.mark.parametrize("given", ["", "add-service", "rename-service a", "update x", "no"])
def test_a_wrong_command_line_is_refused(
    script: ModuleType, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.parse(given.split())
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_help_names_every_verb(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        script.parse(["--help"])
    assert ended.value.code == 0
    output = capsys.readouterr().out
    for verb in ("check", "update", "add-service", "remove-service", "rename-service", "grow"):
        assert verb in output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"- api\n", "contains no answers"),
        (b"hello\n", "contains no answers"),
        (b"42\n", "contains no answers"),
        (b"", "contains no answers"),
        (b"null\n", "contains no answers"),
        (b"[" * 700, "is nested too deeply"),
        (b"\xff\xfe", "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
        (None, "is not a file"),
    ],
)
def test_answers_that_are_no_mapping_are_refused_in_one_line(
    script: ModuleType, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    answers = tmp_path / ".copier-answers.yml"
    if content is None:
        answers.mkdir()
        answers = answers / "file"
    answers.write_bytes(content or b"x")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "x")):
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)
    with pytest.raises(script.RefusedError) as refusal:
        script.read_project(tmp_path)
    line = str(refusal.value)
    assert line.startswith(f".copier-answers.yml {reason}")
    assert "restore it from an older commit" in line
    assert "\n" not in line
