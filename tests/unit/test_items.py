"""A service that stays where it is: the keys of its entry, and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from extensions.items import parse
from extensions.rules import AnswerError
from extensions.services import Service, resolve


def resolved(*services: Any) -> dict[str, Service]:
    """Resolve the services of a project with a database and a cache, by name."""
    found = resolve(
        layout="multi",
        services=list(services),
        service_kind="",
        database="postgres",
        cache="redis",
        project_slug="shop",
        registry="ghcr.io/my-org",
    )
    return {service.name: service for service in found}


def custom(name: str = "core", **keys: Any) -> dict[str, Any]:
    return {"name": name, "kind": "custom", **keys}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"name": "api", "path": "backend"}, "is a python-api, whose path the template decides"),
        ({"name": "api", "port": 1, "published": 2}, "has the port 1 and is published at 2"),
        (custom(path="/backend"), "has the path '/backend'; give a path inside the project"),
        (custom(path="../backend"), "has the path '../backend'"),
        (custom(path="a b"), "has the path 'a b'"),
        (custom(path="$(HOME)"), "has the path"),
        (custom(path=["a"]), "has the path"),
        (custom(context="a/../.."), "has the context"),
        (custom(dockerfile="../../etc;x"), "has the dockerfile"),
        (custom(target="-x"), "has the target '-x'; give the name of a stage"),
        (custom(port="80"), "has the port '80'; give a whole number"),
        (custom(published=0), "has the published 0"),
        (custom(http="no"), "has http 'no'; write true or false"),
        (custom(http=False, port=80), "has a port but no HTTP server"),
        (custom(http=False, health="/health"), "has the health path '/health' but no HTTP server"),
        (custom(one_shot=True, http=True), "is one_shot, so it ends and cannot answer HTTP"),
        (custom(one_shot=True, port=80), "has a port but no HTTP server"),
        (custom(health=7), "has the health 7; give a path"),
        (custom(health=["CMD", 1]), "has the health"),
        (custom(health="a\nb"), "has the health"),
        (custom(aliases=["a b"]), "has the alias 'a b'"),
        (custom(aliases=[1]), "has the aliases [1]; give a list of names"),
        (custom(language="cobol"), "has the unknown language 'cobol'; choose one of dotnet, go"),
        (custom(colour="red"), "has the unknown key 'colour'; the keys are name, kind, needs"),
    ],
)
def test_a_wrong_key_is_refused(item: dict[str, Any], says: str) -> None:
    with pytest.raises(AnswerError) as refused:
        parse([item])
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_an_alias_of_another_service_is_refused() -> None:
    with pytest.raises(AnswerError, match="alias 'web', which is a name of web"):
        resolved(custom(aliases=["web"]), custom("web"))
    with pytest.raises(AnswerError, match="alias 'db', which is a name of core"):
        resolved(custom(aliases=["db"]), custom("web", aliases=["db"]))
    with pytest.raises(AnswerError, match="alias 'cache', which is a name of the cache"):
        resolved(custom(aliases=["cache"]))


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({}, ("services/core", "services/core", "", False)),
        ({"path": "backend"}, ("backend", "backend", "", True)),
        ({"path": "./backend/"}, ("backend", "backend", "", True)),
        ({"path": "."}, (".", ".", "", True)),
        (
            {"path": "backend", "context": ".", "dockerfile": "backend/Dockerfile"},
            ("backend", ".", "backend/Dockerfile", True),
        ),
        (
            {"dockerfile": "../docker/core"},
            ("services/core", "services/core", "../docker/core", True),
        ),
        ({"target": "runtime"}, ("services/core", "services/core", "", True)),
    ],
)
def test_where_it_is_built(keys: dict[str, Any], place: tuple[str, str, str, bool]) -> None:
    core = resolved(custom(**keys))["core"]
    assert (core.home, core.context, core.dockerfile, core.has_build_details) == place
    assert core.path == "services/core"


def test_its_ports() -> None:
    found = resolved(
        custom("plain"),
        custom("stated", port=3000),
        custom("same", port=3000),
        custom("low", port=80),
        custom("chosen", port=80, published=8081),
        custom("silent", http=False),
        {"name": "api", "port": 8500},
        {"name": "orders", "kind": "node-api", "published": 8600},
    )
    ports = {name: (service.container_port, service.port) for name, service in found.items()}
    assert ports == {
        "plain": (8000, 9000),
        "stated": (3000, 3000),
        "same": (3000, 9001),
        "low": (80, 9002),
        "chosen": (80, 8081),
        "silent": (0, 0),
        "api": (8000, 8500),
        "orders": (8000, 8600),
    }


@pytest.mark.parametrize(
    ("keys", "command", "condition"),
    [
        ({}, "", "service_healthy"),
        ({"health": "none"}, "", "service_started"),
        ({"health": None}, "", "service_started"),
        ({"http": False}, "", "service_started"),
        (
            {"http": False, "health": "test -e /ok"},
            '["CMD-SHELL", "test -e /ok"]',
            "service_healthy",
        ),
        ({"one_shot": True}, "", "service_completed_successfully"),
        ({"health": ["check", "$HOME"]}, '["CMD", "check", "$$HOME"]', "service_healthy"),
        ({"health": "/bin/check --all"}, '["CMD-SHELL", "/bin/check --all"]', "service_healthy"),
        (
            {"health": "/up", "port": 81, "language": "python"},
            (
                '[CMD, python, -c, "import urllib.request as r; '
                "r.urlopen('http://127.0.0.1:81/up', timeout=4)\"]"
            ),
            "service_healthy",
        ),
        (
            {"health": "/up?x=1", "language": "node"},
            (
                "[CMD, node, -e, \"fetch('http://127.0.0.1:8000/up?x=1').then(r => "
                'process.exit(r.ok ? 0 : 1), () => process.exit(1))"]'
            ),
            "service_healthy",
        ),
        (
            {"health": "/up"},
            (
                '[CMD-SHELL, "wget -q -O /dev/null http://127.0.0.1:8000/up || '
                'curl -fsS -o /dev/null http://127.0.0.1:8000/up"]'
            ),
            "service_healthy",
        ),
    ],
)
def test_how_others_wait_for_it(keys: dict[str, Any], command: str, condition: str) -> None:
    found = resolved(custom(**keys), custom("web", needs=["core"]))
    assert found["core"].health == command
    assert found["core"].has_health == (condition == "service_healthy")
    assert found["web"].waits_for == {"core": condition}


def test_its_service_tests_start_what_it_needs_indirectly() -> None:
    found = resolved(
        custom("web", path="web", needs=["shop"]),
        custom("shop", path="shop", needs=["users", "api"]),
        custom("users", needs=["database"]),
        {"name": "api", "needs": ["worker"]},
        "worker",
    )
    assert found["web"].stack == ["web", "shop", "users", "api"]
    assert found["api"].stack == ["api", "worker"]
