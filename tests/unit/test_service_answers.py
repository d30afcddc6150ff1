"""Adding, removing and renaming services in an answer, in each form of the list."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Migration


@pytest.fixture(scope="session")
def answers(migration: Migration) -> ModuleType:
    """Return migrations/service_answers.py."""
    return migration("service_answers")


def project(services: Any, **more: Any) -> dict[str, Any]:
    return {
        "layout": "multi",
        "services": services,
        "database": "postgres",
        "cache": "none",
        "project_slug": "shop",
        "registry": "ghcr.io/my-org",
    } | more


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("api, worker", "api, worker, billing"),
        ("api\nworker", "api, worker, billing"),
        (["api", "worker"], ["api", "worker", "billing"]),
        (["api:python-api"], ["api:python-api", "billing"]),
        ([{"name": "api"}, "worker"], [{"name": "api"}, "worker", "billing"]),
    ],
)
def test_the_list_keeps_its_form(answers: ModuleType, before: Any, after: Any) -> None:
    assert answers.added(project(before), [{"name": "billing"}]) == after


def test_a_line_becomes_a_list_if_it_cannot_express_the_service(answers: ModuleType) -> None:
    new = [{"name": "billing", "kind": "custom", "needs": ["api", "database"]}]
    assert answers.added(project("api, engine:custom"), new) == ["api", "engine:custom", *new]


def test_other_services_need_the_new_one_only_if_asked(answers: ModuleType) -> None:
    worker = [{"name": "worker"}]
    assert answers.added(project("api, web"), worker) == [
        *({"name": "api", "needs": []}, "web", "worker"),
    ]
    assert answers.added(project("api, web"), worker, ["api"]) == "api, web, worker"
    assert answers.added(project("api, web"), [{"name": "b"}], ["web"]) == [
        *("api", {"name": "web", "needs": ["api", "b"]}, "b"),
    ]


@pytest.mark.parametrize(
    ("before", "names", "after"),
    [
        ("a, b, c", ["b"], ["a", {"name": "c", "published": 8002}]),
        ("a, b, c", ["c"], "a, b"),
        ("api, worker, web", ["worker"], "api, web"),
        ("api, jobs:python-worker, more:python-worker", ["jobs"],
         [{"name": "api", "needs": []}, "more:python-worker"]),
        (["api", {"name": "e", "kind": "custom", "needs": ["api", "database"]}], ["api"],
         [{"name": "e", "kind": "custom", "needs": ["database"]}]),
        ([{"name": "a", "port": 8001}, "b", "c"], ["a"],
         ["b", {"name": "c", "published": 8002}]),
    ],
)  # fmt: skip
def test_the_remaining_services_keep_their_ports_and_needs(
    answers: ModuleType, before: Any, names: list[str], after: Any
) -> None:
    assert answers.removed(project(before), names) == after


@pytest.mark.parametrize(
    ("before", "names", "after"),
    [
        ("api, worker", {"worker": "mails"}, "api, mails:python-worker"),
        ("api, worker", {"api": "shop-web"}, "shop-web:python-api, worker"),
        ("api, mails:python-worker", {"mails": "worker"}, "api, worker:python-worker"),
        (["api", {"name": "e", "kind": "custom", "needs": "api, database"}], {"api": "b", "e": "f"},
         ["b", {"name": "f", "kind": "custom", "needs": ["b", "database"]}]),
        ([{"name": "api", "port": 9}, "web"], {"api": "b"}, [{"name": "b", "port": 9}, "web"]),
    ],
)  # fmt: skip
def test_a_rename_changes_only_the_name(
    answers: ModuleType, before: Any, names: dict[str, str], after: Any
) -> None:
    assert answers.renamed(project(before), names) == after


NAMES = ["api", "users", "worker", "jobs", "web", "admin-ui", "engine", "gateway"]
KINDS = ["python-api", "python-worker", "node-api", "node-web", "custom"]


@st.composite
def lists(draw: st.DrawFn) -> list[Any]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    items: list[Any] = []
    for index, name in enumerate(names):
        item: dict[str, Any] = {"name": name}
        if draw(st.booleans()):
            item["kind"] = draw(st.sampled_from(KINDS))
        if draw(st.booleans()):
            item["needs"] = (
                draw(st.lists(st.sampled_from(names[:index]), unique=True)) if (index) else []
            )
        items.append(name if item.keys() == {"name"} else item)
    return items


@settings(max_examples=75)
@given(items=lists(), data=st.data())
def test_no_other_service_ever_changes(answers: ModuleType, items: list[Any], data: Any) -> None:
    given_answers = project(items)
    before = answers.resolved(given_answers)
    what = data.draw(st.sampled_from(["add", "remove", "rename"]))
    name = data.draw(st.sampled_from(list(before)))
    if what == "add":
        kind = data.draw(st.sampled_from(KINDS))
        after = answers.added(given_answers, [{"name": "new", "kind": kind}])
    elif what == "remove":
        after = answers.removed(given_answers, [name])
    else:
        after = answers.renamed(given_answers, {name: "new"})
    now = answers.resolved(project(after))
    called = {name: "new"} if what == "rename" else {}
    for old, service in before.items():
        if what == "remove" and old == name:
            assert old not in now
            continue
        found = now[called.get(old, old)]
        wanted = [called.get(need, need) for need in service.needs]
        if what == "remove":
            wanted = [need for need in wanted if need != name]
        assert (found.kind, found.port) == (service.kind, service.port)
        assert sorted(found.needs) == sorted(wanted)
        assert (found.database, found.cache) == (service.database, service.cache)
    assert list(now)[: len(before) - (what == "remove")] == [
        called.get(old, old) for old in before if not (what == "remove" and old == name)
    ]
