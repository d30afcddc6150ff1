"""The check of `nox -s fresh`: what it finds in a project, and what it says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from ..conftest import ROOT
from ..fresh import refresh as refreshing
from ..fresh.__main__ import answer_sets, choices
from ..fresh.pins import Pin, pins_in, pins_of
from ..fresh.releases import Level, Tables, check
from ..render import pairwise

TODAY = date(2026, 11, 27)
ROW = {"read": TODAY, "source": "a test"}
COMMIT = "a" * 40
TABLES = Tables(
    products={
        "python": ROW
        | {
            "images": ["python"],
            "lines": {
                "3.15": {"end": date(2031, 10, 31)},
                "3.14": {},
                "3.9": {"end": date(2025, 10, 31)},
            },
        },
        "nginx": ROW
        | {"images": ["nginx"], "lines": {"1.30": {}, "1.28": {"end": date(2026, 4, 14)}}},
        "redis": ROW
        | {"images": ["redis"], "lines": {"8.10": {}, "8.0": {"end": date(2026, 12, 1)}}},
        "docker-engine": ROW | {"lines": {"29": {}, "25": {"end": date(2026, 11, 1)}}},
        "uv": {"images": ["ghcr.io/astral-sh/uv"], "package": "pypi:uv"},
    },
    packages={
        "pypi": {
            "uv": ROW | {"newest": "0.13.9"},
            "fastapi": ROW | {"newest": "0.165.0"},
            "redis": ROW | {"newest": "8.1.0"},
            "dead": ROW | {"newest": "1.0", "end": date(2026, 1, 1)},
        },
        "npm": {
            "vite": ROW | {"newest": "8.3.8"},
            "typescript": ROW | {"newest": "7.0.2", "note": "why"},
        },
        "action": {"actions/checkout": ROW | {"newest": "v7.0.1", "commit": COMMIT}},
    },
)


def levels(pin: Pin, tables: Tables = TABLES, today: date = TODAY) -> set[Level]:
    return {finding.level for finding in check(tables, {pin: "a file"}, today)}


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (Pin("image", "nginx", "1.28-alpine"), {Level.PAST, Level.BEHIND}),
        (Pin("image", "nginx", "1.28.3"), {Level.PAST, Level.BEHIND}),
        (Pin("image", "nginx", "1.30-alpine"), set()),
        # 1.3 is not a prefix of 1.30.
        (Pin("image", "nginx", "1.3"), {Level.UNKNOWN}),
        (Pin("image", "nginx", "latest"), {Level.UNKNOWN}),
        (Pin("image", "apache", "2"), {Level.UNKNOWN}),
        # A tag of a major version moves, so it is its newest minor version.
        (Pin("image", "redis", "8-alpine"), set()),
        (Pin("image", "redis", "8.0-alpine"), {Level.ENDING, Level.BEHIND}),
        (Pin("image", "ghcr.io/astral-sh/uv", "0.13"), set()),
        (Pin("image", "ghcr.io/astral-sh/uv", "0.12"), {Level.BEHIND}),
        (Pin("language", "python", "3.9"), {Level.PAST, Level.BEHIND}),
        (Pin("language", "python", "3.7"), {Level.UNKNOWN}),
        (Pin("minimum", "python", "3.9"), {Level.BEHIND}),
        (Pin("minimum", "docker-engine", "25"), {Level.BEHIND}),
        (Pin("pypi", "fastapi", ">=0.165"), set()),
        (Pin("pypi", "fastapi", ">=0.160"), {Level.BEHIND}),
        (Pin("pypi", "redis", ">=7.4"), {Level.BEHIND}),
        (Pin("pypi", "redis", ">=8,<8.1"), {Level.BEHIND}),
        (Pin("pypi", "redis", ""), set()),
        (Pin("pypi", "dead", ">=1"), {Level.PAST}),
        (Pin("pypi", "flask", ">=3"), {Level.UNKNOWN}),
        (Pin("npm", "vite", "^8.0.0"), set()),
        (Pin("npm", "vite", "^7.0.0"), {Level.BEHIND}),
        (Pin("npm", "vite", "8.3.7"), {Level.BEHIND}),
        (Pin("npm", "typescript", "~6.0.0"), {Level.BEHIND}),
        (Pin("npm", "react", "^19.0.0"), {Level.UNKNOWN}),
        (Pin("action", "actions/checkout", "v7.0.1", COMMIT), set()),
        (Pin("action", "actions/checkout", "v7.0.0", "b" * 40), {Level.BEHIND}),
        (Pin("action", "actions/checkout", "v7.0.1", "b" * 40), {Level.UNKNOWN}),
        (Pin("action", "actions/checkout", "", COMMIT), {Level.UNKNOWN}),
        (Pin("action", "actions/cache", "v6.0.0", COMMIT), {Level.UNKNOWN}),
    ],
)
def test_what_is_said_about_a_version(pin: Pin, expected: set[Level]) -> None:
    assert levels(pin) == expected


def test_an_end_of_life_is_announced_before_it_fails() -> None:
    pin = Pin("image", "redis", "8.0")
    assert Level.PAST not in levels(pin, today=date(2026, 12, 1))
    assert Level.PAST in levels(pin, today=date(2026, 12, 2))


def test_a_row_that_was_read_long_ago_warns() -> None:
    found = check(TABLES, {Pin("npm", "vite", "^8.0.0"): "a file"}, TODAY + timedelta(days=181))
    assert {finding.level for finding in found} == {Level.OLD}
    assert not any(finding.level.fails for finding in found)


def test_only_the_newest_choice_can_be_behind() -> None:
    old = {Pin("language", "python", "3.14"): "", Pin("image", "python", "3.14-slim"): ""}
    assert [finding.level for finding in check(TABLES, old, TODAY)] == [Level.BEHIND] * 2
    assert check(TABLES, old | {Pin("language", "python", "3.15"): ""}, TODAY) == {}
    ended = old | {Pin("language", "python", "3.15"): "", Pin("language", "python", "3.9"): ""}
    assert [finding.level for finding in check(TABLES, ended, TODAY)] == [Level.PAST]


DOCKERFILE = """
FROM --platform=linux/amd64 ghcr.io/astral-sh/uv:0.13 AS uv
FROM python:3.14-slim AS build
COPY --from=uv /uv /bin/
COPY --from=docker.io/library/node:26 /node /bin/
FROM build
FROM scratch
"""
COMPOSE = """
services:
  database:
    image: postgres:18-alpine  # comment
  page: {build: .}
  api:
    image: ghcr.io/my-org/shop-api:${VERSION:?}
  cache:
    image: "${CACHE_IMAGE:-valkey/valkey:9}"
  tool:
    image: localhost:5000/tool
"""
WORKFLOW = f"""
      - uses: actions/checkout@{COMMIT} # v7.0.1
      # - uses: docker/setup-qemu-action@{COMMIT} # v4.2.0
      - uses: github/codeql-action/init@v4
      - uses: ./.github/actions/own
        with:
          python-version: "3.14"
      - run: uvx 'ruff==0.17.6' check && npx --yes prettier@3.10.1 --check .
"""
SCRIPT = '''#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["psutil>=6", "rich[jupyter]>=13.7"]
# ///
"""A program."""
'''
MANIFEST = """
[project]
requires-python = ">=3.14"
dependencies = ["Psycopg_Pool[binary]>=3.3", "redis"]
optional-dependencies = { extra = ["a>=1"] }
[dependency-groups]
dev = [{ include-group = "x" }, "mypy>=2.4"]
[build-system]
requires = ["hatchling>=1"]
"""
PACKAGE = {
    "version": "0.1.0",
    "engines": {"node": "^22.13 || >=24"},
    "dependencies": {"pg": "^8.0.0"},
    "devDependencies": {"vite": "^8.0.0"},
}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Dockerfile", DOCKERFILE, "image ghcr.io/astral-sh/uv 0.13, image node 26, image python 3.14-slim"),
        (
            "docker-compose.yml",
            COMPOSE,
            "image localhost:5000/tool latest, image postgres 18-alpine, image valkey/valkey 9",
        ),
        (
            "ci.yaml",
            WORKFLOW,
            ("action actions/checkout v7.0.1, action docker/setup-qemu-action v4.2.0, "
             "action github/codeql-action , language python 3.14, npm prettier 3.10.1, pypi ruff ==0.17.6"),
        ),
        ("any.py", SCRIPT, "minimum python 3.11, pypi psutil >=6, pypi rich >=13.7"),
        (
            "pyproject.toml",
            MANIFEST,
            ("minimum python 3.14, pypi a >=1, pypi hatchling >=1, pypi mypy >=2.4, "
             "pypi psycopg-pool >=3.3, pypi redis "),
        ),
        (
            "package.json",
            json.dumps(PACKAGE),
            "minimum nodejs 22.13, minimum nodejs 24, npm pg ^8.0.0, npm vite ^8.0.0",
        ),
        ("requirements-dev.txt", "-r base.txt\nflask==3.1 # web\n\n", "pypi flask ==3.1"),
        (".python-version", "3.14\n", "language python 3.14"),
        (".nvmrc", "v26\n", "language nodejs 26"),
        ("Makefile", "RUFF = ruff==0.17.6\n\tuvx mypy@2.4.1 .\n", "pypi mypy ==2.4.1, pypi ruff ==0.17.6"),
        (
            "check.sh",
            'at_least "$engine" 25 ||\nat_least "${compose#v}" 2.24 || [[ $a == 3 ]]\n',
            "minimum docker-compose 2.24, minimum docker-engine 25",
        ),
        ("notes.md", "image: postgres:9", ""),
    ],
)  # fmt: skip
def test_what_is_found_in_a_file(name: str, text: str, expected: str) -> None:
    found = sorted(f"{pin.kind} {pin.name} {pin.version}" for pin in pins_in(name, text))
    assert ", ".join(found) == expected


def test_the_sets_of_answers_have_every_answer() -> None:
    sets = answer_sets()
    for name, values in pairwise.parameters().items():
        missing = [
            v for v in values if v != pairwise.NOT_ASKED and v not in [s.get(name) for s in sets]
        ]
        assert not missing, f"{name}: {missing}"
    assert len(sets) < len(pairwise.pairwise())


def test_every_offered_version_is_checked() -> None:
    assert {pin.name for pin in choices()} == {"python", "nodejs"}
    assert len(choices()) == sum(
        len(pairwise.asked()[name]["choices"]) for name in ("python_version", "node_version")
    )


def test_refreshing_keeps_what_was_added_and_what_cannot_be_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "packages.toml"
    table.write_text(
        '[pypi]\nuv = { newest = "0.1", read = 2020-01-01, source = "x", note = "\\"kept\\"" }\n'
        'gone = { newest = "1", read = 2020-01-01, source = "x" }\n'
        '[npm]\nvite = { newest = "7", read = 2020-01-01, source = "x" }\n'
    )
    monkeypatch.setattr(refreshing, "from_pypi", lambda names: {"uv": {"newest": "0.13.9"}})
    monkeypatch.setattr(refreshing, "from_npm", lambda name: {})
    pins = [Pin("npm", "vite", "^8.0.0"), Pin("image", "nginx", "1")]
    problems = list(refreshing.refresh(table, pins, TABLES, TODAY))
    assert problems == ["vite (npm)"]
    rows = Tables.read(packages=table).packages
    assert rows["pypi"] == {
        "uv": {"newest": "0.13.9", "read": TODAY, "source": "PyPI", "note": '"kept"'}
    }
    assert rows["npm"]["vite"]["newest"] == "7"


def test_an_annotated_tag_gives_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"{'1' * 40}\trefs/tags/v9.0.0\n{'2' * 40}\trefs/tags/v10.0.0\n"
    lines += f"{COMMIT}\trefs/tags/v10.0.0^{{}}\n{'3' * 40}\trefs/tags/v11.0.0-rc.1\n"
    monkeypatch.setattr(refreshing, "output", lambda *command, given="": lines)
    assert refreshing.from_tags("a/b") == {"newest": "v10.0.0", "commit": COMMIT}


# Renovate: every version that a project names must be seen in the template's own files.


#: Renovate's own managers: a file's name for `pins_in`, and the files that each reads by default.
OWN_MANAGERS = {
    "github-actions": ("workflow.yml", r"^\.github/workflows/.+\.ya?ml$"),
    "dockerfile": ("Dockerfile", r"(^|/)Dockerfile$"),
    "pep723": ("script.py", r"$^"),
    "npm": ("package.json", r"(^|/)package\.json$"),
    "pip_requirements": ("requirements.txt", r"(^|/)[\w-]*requirements([-._]\w+)?\.txt$"),
    "pep621": ("pyproject.toml", r"(^|/)pyproject\.toml$"),
}


def renovate() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / ".github/renovate.json").read_text("utf-8"))
    return found


def matched(patterns: list[str], name: str) -> bool:
    """Whether one of Renovate's file patterns, all of them regular expressions here, matches."""
    return any(re.search(pattern.strip("/"), name) for pattern in patterns)


def template_files() -> dict[str, str]:
    """The files that Renovate reads."""
    ignored = renovate()["ignorePaths"]
    folders = ("template", "includes", "extensions")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {str(path.relative_to(ROOT)): path for path in [*paths, ROOT / "copier.yml"]}
    return {
        name: path.read_text("utf-8", errors="replace")
        for name, path in names.items()
        if not any(fnmatch(name, pattern) for pattern in ignored) and "__pycache__" not in name
    }


def extracted() -> Iterator[tuple[str, str]]:
    """The name and the version of every dependency that Renovate sees in the template.

    The custom managers are read as Renovate reads them. For its own managers, which parse actions,
    Dockerfiles and scripts, only the choice of files is ours: `pins_in` stands for the parsers.
    """
    config = renovate()
    for name, text in template_files().items():
        for manager in config["customManagers"]:
            if not matched(manager["managerFilePatterns"], name):
                continue
            patterns = [pattern.replace("(?<", "(?P<") for pattern in manager["matchStrings"]]
            texts = [text]
            if manager.get("matchStringsStrategy") == "recursive":
                *outer, last = patterns
                for pattern in outer:
                    texts = [match[0] for text in texts for match in re.finditer(pattern, text)]
                patterns = [last]
            for part in texts:
                for pattern in patterns:
                    for match in re.finditer(pattern, part):
                        yield match["depName"].lower(), match["currentValue"]
        for manager, (stand_in, default) in OWN_MANAGERS.items():
            patterns = config.get(manager, {}).get("managerFilePatterns", [])
            if not matched([*patterns, default], name):
                continue
            # Renovate does not read a step that is commented out.
            commented = r"^ *# *-.*$" if manager == "github-actions" else r"$^"
            for pin in pins_in(stand_in, re.sub(commented, "", text, flags=re.MULTILINE)):
                yield pin.name, pin.version


@pytest.fixture(scope="module")
def rendered(render: Callable[..., Path]) -> dict[Pin, str]:
    found: dict[Pin, str] = {}
    for answers in pairwise.NAMED.values():
        found |= pins_of(render(answers))
    return found


def test_renovate_watches_every_version(rendered: dict[Pin, str]) -> None:
    watched = set(extracted())
    offered = {pin.version for pin in choices()}
    unwatched = []
    for pin, place in rendered.items():
        # An answer decides these versions, and the choices are watched.
        follows = re.match(r"\^?([\d.]*?)(\.0\.0|-slim)?$", pin.version)
        decided = pin.kind in {"image", "npm", "language"} and follows and follows[1] in offered
        named = (pin.name, pin.version) in watched or (
            pin.name,
            pin.version.removeprefix("=="),
        ) in watched
        if pin.kind != "minimum" and pin.version and not decided and not named:
            unwatched.append(f"{pin.name} {pin.version} in {place}")
    assert not unwatched
    assert len(rendered) > 30


def test_renovate_watches_the_newest_choices() -> None:
    watched = set(extracted())
    for name in ("python", "node"):
        newest = pairwise.parameters()[f"{name}_version"][0]
        assert (name, newest) in watched
