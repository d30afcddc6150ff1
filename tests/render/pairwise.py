"""The answers for the projects that the tests render.

`NAMED` has a few complete projects. `pairwise()` creates sets of answers that contain every possible
pair of answers to two questions. It reads the questions and their choices from copier.yml, so it
includes a new choice automatically. A new question without choices needs a few answers in
`REPRESENTATIVES`; without them, a test fails.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any

import yaml
from allpairspy import AllPairs
from jinja2 import StrictUndefined, meta
from jinja2.nativetypes import NativeEnvironment

from extensions.rules import AnswerError
from extensions.services import resolve

ROOT = Path(__file__).resolve().parents[2]

Answers = dict[str, Any]

#: Answers to the questions that have no choices. Only tests/unit/test_answers.py has a name with
#: `{{`, because the tests here would report it as Jinja that was not rendered.
REPRESENTATIVES: Mapping[str, list[Any]] = {
    "project_name": [
        "My Project",
        """Ünï's "quoted" $HOME #1: <b>100 %</b> \\n & 日本 🎉""",
        "X" * 120,
    ],
    "project_slug": ["my-project", "x", "a-slug-of-forty-characters-as-long-as-ok"],
    "description": ["", """It's "quick": a $HOME # of <things> \\ & 日本"""],
    "services": [
        "api, worker, frontend",
        "api",
        "worker",
        "frontend",
        "price-db:custom",
        "orders:node-api, web",
        [
            "worker",
            {"name": "api", "needs": ["worker", "engine"]},
            {"name": "engine", "kind": "custom"},
            {"name": "web", "needs": ["api", "engine"]},
        ],
        [
            {"name": "price-feed-api", "port": 18000},
            {"name": "mail-worker"},
            {"name": "shop-front-web", "needs": ["price-feed-api"]},
        ],
        [
            *("users", "orders"),
            {"name": "billing", "kind": "node-api", "needs": ["users", "mail-worker"]},
            *("mail-worker", "report-worker"),
            *("shop-web", "admin-ui"),
            {"name": "gateway", "kind": "custom", "needs": ["users", "orders"]},
            {"name": "search", "kind": "custom", "needs": []},
        ],
    ],
    "registry": ["ghcr.io/my-org", "localhost:5000", "git.example.com:3000/some-team/a.b_c"],
    "author_name": ["", """Ada "Q." O'Ünal"""],
    "author_email": ["", "ada@example.com"],
}

#: The projects whose list of files is kept in trees/.
NAMED: Mapping[str, Answers] = {
    "multi": {"cache": "redis"},
    "multi-custom": {"services": "api, engine:custom"},
    "multi-node-api": {"cache": "redis", "services": "api, orders:node-api, worker, frontend"},
    "multi-no-database": {"database": "none"},
    "single-python-api": {"layout": "single", "service_kind": "python-api"},
    "single-node-api": {"layout": "single", "service_kind": "node-api"},
    "single-node-web": {"layout": "single", "service_kind": "node-web"},
    "single-python-worker": {"layout": "single", "service_kind": "python-worker"},
}

#: The questions that depend on one another, by a `when` or by the template's rules.
BOUND = ("layout", "services", "service_kind", "database", "cache")

#: The value for a question that is not asked because of another answer.
NOT_ASKED = "(not asked)"

_JINJA = NativeEnvironment(undefined=StrictUndefined)
_template = functools.cache(_JINJA.from_string)


@functools.cache
def settings() -> dict[str, Any]:
    """Return all of copier.yml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return found


@functools.cache
def questions() -> dict[str, dict[str, Any]]:
    """Return every question of copier.yml, including computed answers."""
    return {name: value for name, value in settings().items() if not name.startswith("_")}


@functools.cache
def asked() -> dict[str, dict[str, Any]]:
    """Return the questions that a user can be asked."""
    return {
        name: question
        for name, question in questions().items()
        if question.get("when") is not False and question.get("ask") is not False
    }


def values(name: str, question: Mapping[str, Any]) -> list[Any]:
    """Return the answers to a question that the tests use.

    Raises:
        LookupError: the question has neither choices nor representatives.
    """
    choices = question.get("choices")
    if isinstance(choices, Mapping):
        choices = list(choices.items())
    if isinstance(choices, list):
        # A choice is a value, or a label and a value; the value may be a mapping with more keys.
        found = [choice[1] if isinstance(choice, list | tuple) else choice for choice in choices]
        found = [value["value"] if isinstance(value, Mapping) else value for value in found]
        # Of a set of choices: each one alone, and all of them.
        return [*([value] for value in found), found] if question.get("multiselect") else found
    if question.get("type") == "bool":
        return [True, False]
    if name not in REPRESENTATIVES:
        raise LookupError(
            f"copier.yml asks {name!r}, which has no choices: "
            "add a few answers to REPRESENTATIVES in tests/render/pairwise.py"
        )
    return REPRESENTATIVES[name]


def parameters() -> dict[str, list[Any]]:
    """Return the possible answers to each question, by its name."""
    return {
        name: values(name, question) + ([NOT_ASKED] if "when" in question else [])
        for name, question in asked().items()
    }


def evaluate(expression: Any, row: Mapping[str, Any]) -> Any:
    """Evaluate an expression of copier.yml for some answers."""
    return _template(expression).render(row) if isinstance(expression, str) else expression


def names_in(expression: Any) -> set[str]:
    """Return the answers that an expression of copier.yml reads."""
    return meta.find_undeclared_variables(_JINJA.parse(str(expression)))


def refusal(row: Mapping[str, Any]) -> str:
    """Return why the template refuses some answers; empty if it accepts them."""
    given = {name: "none" if row[name] == NOT_ASKED else row[name] for name in BOUND}
    try:
        resolve(**given, project_slug="my-project", registry="ghcr.io/my-org")
    except AnswerError as reason:
        return str(reason)
    return ""


@functools.cache
def settings_of_the_bound() -> list[dict[str, Any]]:
    """Return every combination of answers to the dependent questions."""
    conditions = {name: asked()[name].get("when", True) for name in BOUND}
    read = {name for when in conditions.values() for name in names_in(when)}
    computed = {name: questions()[name]["default"] for name in sorted(read - set(asked()))}
    found = []
    for setting in product(*(parameters()[name] for name in BOUND)):
        row = dict(zip(BOUND, setting, strict=True))
        known = row | {name: evaluate(default, row) for name, default in computed.items()}
        fits = [
            bool(evaluate(when, known)) != (row[name] == NOT_ASKED)
            for name, when in conditions.items()
        ]
        if all(fits) and not refusal(row):
            found.append(row)
    return found


def possible(row: Mapping[str, Any]) -> bool:
    """Whether some answers, to all questions or only to a few, are possible together."""
    bound = {name: value for name, value in row.items() if name in BOUND}
    return any(bound.items() <= setting.items() for setting in settings_of_the_bound())


@functools.cache
def rows() -> list[dict[str, Any]]:
    """Create rows that contain every possible pair of answers."""
    # allpairspy misses pairs if many pairs are impossible. Therefore the first three dependent
    # questions are one parameter; more than three would result in many rows.
    ways = unique({name: row[name] for name in BOUND[:3]} for row in settings_of_the_bound())
    choices = [
        ways,
        *([{n: v} for v in found] for n, found in parameters().items() if n not in ways[0]),
    ]

    # By their indexes, because allpairspy compares values, and some of our values are lists.
    def row_of(places: list[int]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for choice, place in zip(choices, places, strict=False):
            row |= choice[place]
        return row

    places = [range(len(choice)) for choice in choices]
    found = AllPairs(places, filter_func=lambda part: possible(row_of(part)))
    rows = [row_of(list(row)) for row in found]
    # allpairspy stops too early, so this writes each missing pair into a copy of a row.
    while missing := [
        pair for pair in pairs() if not any(pair.items() <= row.items() for row in rows)
    ]:
        candidates = [
            candidate
            for setting in settings_of_the_bound()
            for row in rows
            if missing[0].items() <= (candidate := row | missing[0] | setting).items()
        ]
        rows.append(
            max(candidates, key=lambda row: sum(pair.items() <= row.items() for pair in missing))
        )
    return rows


@functools.cache
def pairs() -> list[dict[str, Any]]:
    """Return every possible pair of answers."""
    return [
        pair
        for one, other in combinations(parameters().items(), 2)
        for first, second in product(one[1], other[1])
        if possible(pair := {one[0]: first, other[0]: second})
    ]


def unique(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each row once, in the same order."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if row not in found:
            found.append(row)
    return found


@functools.cache
def pairwise() -> dict[str, Answers]:
    """Return the sets of answers, by a name for the test's id."""
    return {
        f"pairwise-{number:02}": {name: value for name, value in row.items() if value != NOT_ASKED}
        for number, row in enumerate(rows(), 1)
    }
