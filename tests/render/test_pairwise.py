"""The answers for the rendered projects are complete."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from extensions.items import parse
from extensions.kinds import KINDS

from . import pairwise


def met(
    name: str, value: object, other: str, other_value: object, rows: list[pairwise.Answers]
) -> bool:
    return any(row[name] == value and row[other] == other_value for row in rows)


def test_every_choice_of_every_question_occurs() -> None:
    rows = list(pairwise.rows())
    missing = [
        f"{name}={value!r}"
        for name, values in pairwise.parameters().items()
        for value in values
        if not any(row[name] == value for row in rows)
    ]
    assert missing == []


def test_every_possible_pair_of_answers_occurs() -> None:
    rows = list(pairwise.rows())
    parameters = pairwise.parameters()
    # Rules exist only between these. Every other answer is possible with each of their settings.
    bound = [name for name, question in pairwise.asked().items() if "when" in question] + ["layout"]
    settings = [
        setting
        for found in product(*(parameters[name] for name in bound))
        if pairwise.possible(setting := dict(zip(bound, found, strict=True)))
    ]
    missing = [
        f"{name}={value!r} with {other}={other_value!r}"
        for name, other in combinations(parameters, 2)
        for value, other_value in product(parameters[name], parameters[other])
        if any(
            (name not in bound or setting[name] == value)
            and (other not in bound or setting[other] == other_value)
            for setting in settings
        )
        and not met(name, value, other, other_value, rows)
    ]
    assert missing == []


def test_every_kind_occurs_alone_and_among_other_services() -> None:
    assert set(pairwise.parameters()["service_kind"]) - {pairwise.NOT_ASKED} == set(KINDS)
    lists = [parse(services) for services in pairwise.REPRESENTATIVES["services"]]
    among = {item.kind for items in lists for item in items if len(items) > 1}
    assert among == set(KINDS)


@pytest.mark.parametrize("answers", pairwise.pairwise().values(), ids=pairwise.pairwise())
def test_a_row_is_never_refused(answers: pairwise.Answers) -> None:
    assert pairwise.possible(answers)


def test_a_worker_without_a_queue_is_impossible() -> None:
    alone = {"layout": "single", "services": pairwise.NOT_ASKED, "service_kind": "python-worker"}
    assert pairwise.possible(alone | {"database": "postgres", "cache": "none"})
    assert not pairwise.possible(alone | {"database": "none", "cache": "none"})


def test_a_question_that_is_not_asked_has_no_answer() -> None:
    assert not pairwise.possible({"layout": "single", "services": "api"})
    assert not pairwise.possible({"layout": "multi", "services": pairwise.NOT_ASKED})
    page = {"layout": "single", "services": pairwise.NOT_ASKED, "service_kind": "node-web"}
    assert pairwise.possible(page | {"database": pairwise.NOT_ASKED})
    assert not pairwise.possible(page | {"database": "postgres"})


def test_a_new_question_without_representatives_fails_with_its_name() -> None:
    with pytest.raises(LookupError, match=r"asks 'mascot'.*REPRESENTATIVES in tests/render"):
        pairwise.values("mascot", {"type": "str", "default": "whale"})


def test_a_new_choice_is_tested_automatically() -> None:
    choices = {"a label": "value", "another": {"value": "other", "validator": ""}}
    assert pairwise.values("new", {"type": "str", "choices": choices}) == ["value", "other"]
    assert pairwise.values("new", {"type": "str", "choices": ["a", ["label", "b"]]}) == ["a", "b"]
    assert pairwise.values("new", {"type": "bool"}) == [True, False]


def test_every_conditional_question_is_bound() -> None:
    # The first question is always asked: its condition checks all given answers.
    rest = list(pairwise.asked().items())[1:]
    conditional = {name for name, question in rest if "when" in question}
    assert conditional <= set(pairwise.BOUND), "add it to BOUND in tests/render/pairwise.py"


def test_every_representative_is_for_an_existing_question() -> None:
    assert set(pairwise.REPRESENTATIVES) - set(pairwise.asked()) == set()
