"""The service list for valid answers. The tests of refused answers are in test_answers."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pytest
import yaml

from extensions import questions, rules
from extensions import services as service_answers

from ..conftest import ROOT

Resolve = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("api", "python-api"),
        ("orders", "python-api"),
        ("worker", "python-worker"),
        ("jobs", "python-worker"),
        ("consumer", "python-worker"),
        ("scheduler", "python-worker"),
        ("email-worker", "python-worker"),
        ("worker-2", "python-worker"),
        ("frontend", "node-web"),
        ("web", "node-web"),
        ("ui", "node-web"),
        ("dashboard", "node-web"),
        ("admin-ui", "node-web"),
        ("build-ui-kit", "node-web"),
        ("webshop", "python-api"),
        ("coworkers", "python-api"),
        ("guild", "python-api"),
        ("node-api", "python-api"),
    ],
)
def test_a_kind_is_read_from_the_words_of_a_name(resolve: Resolve, name: str, kind: str) -> None:
    assert resolve(name)[name].kind == kind


SAME_SERVICES = [
    "api, worker, frontend",
    "api,worker,frontend",
    " api ,worker , frontend, ",
    "api\nworker\nfrontend\n",
    "api:python-api, worker:python-worker, frontend:node-web",
    "api : python-api, worker, frontend",
    ["api", "worker", "frontend"],
    ["api:python-api", "worker", {"name": "frontend", "kind": "node-web"}],
    [{"name": "api"}, {"name": "worker"}, {"name": "frontend"}],
    [{"name": "api", "needs": ["worker"]}, "worker", {"name": "frontend", "needs": "api"}],
    [{"name": "api", "needs": ["worker", "worker"]}, "worker", "frontend"],
    [{"name": "api", "port": 8000, "needs": None}, "worker", "frontend"],
]


@pytest.mark.parametrize("services", SAME_SERVICES, ids=repr)
def test_all_ways_to_write_the_services_mean_the_same(resolve: Resolve, services: Any) -> None:
    assert resolve(services) == resolve()


def test_the_properties_of_a_service(resolve: Resolve) -> None:
    api = resolve("price-db, worker")["price-db"]
    assert (api.path, api.source, api.src_root) == ("services/price-db", "price_db", ".")
    assert (api.package, api.env) == ("price_db", "PRICE_DB")
    assert api.image == "ghcr.io/my-org/shop-price-db"
    assert (api.database, api.cache) == (True, True)


@pytest.mark.parametrize(
    ("kind", "container_port", "database", "queue"),
    [
        ("python-api", 8000, True, ""),
        ("python-worker", 0, False, "redis"),
        ("node-api", 8000, True, ""),
        ("node-web", 8080, False, ""),
        ("custom", 8000, True, ""),
    ],
)
def test_the_single_layout_is_one_service_called_app(
    resolve: Resolve, kind: str, container_port: int, database: bool, queue: str
) -> None:
    services = resolve(None, layout="single", service_kind=kind)
    assert list(services) == ["app"]
    app = services["app"]
    source = "src" if kind.startswith("node-") else "src/app"
    assert (app.path, app.source, app.src_root, app.package) == (".", source, "src", "app")
    assert (app.env, app.image) == ("APP", "ghcr.io/my-org/shop")
    assert app.container_port == container_port
    assert app.database == database
    assert app.queue == queue
    assert app.stack == ["app"]
    assert app.needs == []


@pytest.mark.parametrize(
    ("services", "needs"),
    [
        ("api, worker, frontend", {"api": ["worker"], "worker": [], "frontend": ["api"]}),
        ("api, orders, worker", {"api": ["worker"], "orders": ["worker"], "worker": []}),
        ("frontend, core:custom", {"frontend": ["core"], "core": []}),
        ("frontend, core:custom, api", {"frontend": ["api"], "core": [], "api": []}),
        ("frontend", {"frontend": []}),
        # A page needs the first python-api, else the first node-api. A node-api defers no jobs.
        ("frontend, orders:node-api", {"frontend": ["orders"], "orders": []}),
        (
            "core:custom, b:node-api, a:node-api, frontend",
            {"core": [], "b": [], "a": [], "frontend": ["b"]},
        ),
        (
            "frontend, orders:node-api, api, worker",
            {"frontend": ["api"], "orders": [], "api": ["worker"], "worker": []},
        ),
        # Explicit needs are not changed, and a default must not cause a cycle.
        ([{"name": "api", "needs": []}, "worker"], {"api": [], "worker": []}),
        (["api", {"name": "worker", "needs": ["api"]}], {"api": [], "worker": ["api"]}),
        (
            ["frontend", {"name": "api", "needs": ["frontend"]}, "orders"],
            {"frontend": [], "api": ["frontend"], "orders": []},
        ),
    ],
    ids=repr,
)
def test_needs_are_completed(resolve: Resolve, services: Any, needs: Mapping[str, Any]) -> None:
    assert {name: service.needs for name, service in resolve(services).items()} == needs


def test_a_stack_holds_a_service_and_its_direct_needs(resolve: Resolve) -> None:
    services = resolve()
    assert services["frontend"].stack == ["frontend", "api"]
    assert services["api"].stack == ["api", "worker"]
    assert services["worker"].stack == ["worker"]


def test_doors_are_the_needs_that_answer_http(resolve: Resolve) -> None:
    services = resolve([{"name": "shop-web", "needs": ["orders", "worker"]}, "orders", "worker"])
    [door] = services["shop-web"].doors
    assert (door.name, door.env, door.container_port) == ("orders", "ORDERS", 8000)


def test_only_services_that_no_other_service_needs_are_published(resolve: Resolve) -> None:
    services = resolve("api, worker, frontend, admin")
    published = [name for name, service in services.items() if service.published]
    assert published == ["frontend", "admin"]


@pytest.mark.parametrize(
    ("database", "cache", "queue", "worker_database"),
    [
        ("postgres", "redis", "redis", False),
        ("none", "redis", "redis", False),
        ("postgres", "none", "postgres", True),
    ],
)
def test_jobs_are_stored_in_the_cache_or_else_in_the_database(
    resolve: Resolve, database: str, cache: str, queue: str, worker_database: bool
) -> None:
    services = resolve(database=database, cache=cache)
    assert services["api"].queue == services["worker"].queue == queue
    assert services["api"].worker == "worker"
    assert services["worker"].database == worker_database
    assert services["frontend"].queue == services["frontend"].worker == ""


def test_an_api_defers_to_the_worker_that_it_needs(resolve: Resolve) -> None:
    services = resolve(["email-worker", "report-worker", {"name": "api", "needs": "report-worker"}])
    assert services["api"].worker == "report-worker"


def test_without_a_worker_nothing_is_queued(resolve: Resolve) -> None:
    assert resolve("api")["api"].queue == ""


@pytest.mark.parametrize(("database", "cache"), [("none", "none"), ("postgres", "redis")])
def test_a_custom_service_uses_only_the_backing_services_that_it_names(
    resolve: Resolve, database: str, cache: str
) -> None:
    core = resolve("core:custom", database=database, cache=cache)["core"]
    assert (core.database, core.cache) == (False, False)


def test_a_custom_service_may_need_backing_services(resolve: Resolve) -> None:
    needs = ["database", "cache", "api"]
    core = resolve([{"name": "core", "kind": "custom", "needs": needs}, "api"])["core"]
    assert (core.database, core.cache) == (True, True)
    assert core.needs == ["api"]


@pytest.mark.parametrize(
    ("database", "sections"), [("postgres", ["items", "rates"]), ("none", ["rates"])]
)
def test_a_page_shows_what_its_node_api_offers(
    resolve: Resolve, database: str, sections: list[str]
) -> None:
    services = resolve(
        ["web", {"name": "orders", "kind": "node-api", "needs": "worker"}, "worker"],
        database=database,
    )
    orders, web = services["orders"], services["web"]
    # It does not defer jobs, even if it needs a worker.
    assert (orders.worker, orders.queue) == ("", "")
    assert orders.sections == web.sections == sections
    assert web.api.name == "orders"
    assert (orders.published, web.published) == (False, True)


def test_a_node_api_stores_items_and_calls_the_external_api(resolve: Resolve) -> None:
    orders = resolve("orders:node-api")["orders"]
    assert (orders.database, orders.cache, orders.calls_api) == (True, True, True)
    assert orders.database_scheme == "postgresql"
    assert orders.migrate == "[node, src/migrate.ts]"
    assert orders.mounts == ["src"]
    lone = resolve("orders:node-api", database="none", cache="none")["orders"]
    assert (lone.database, lone.cache, lone.migrate) == (False, False, "")


def ports(services: Mapping[str, Any]) -> dict[str, int]:
    return {name: service.port for name, service in services.items()}


def test_each_kind_has_its_own_range_of_ports(resolve: Resolve) -> None:
    services = resolve("api, worker, frontend, orders, core:custom, ui, users:node-api")
    assert ports(services) == {
        "api": 8000,
        "worker": 0,
        "frontend": 8080,
        "orders": 8001,
        "core": 9000,
        "ui": 8081,
        "users": 8002,
    }


@pytest.mark.parametrize("other", ["frontend", "worker", "core:custom"])
def test_a_service_of_another_kind_changes_no_port(resolve: Resolve, other: str) -> None:
    name = other.split(":")[0]
    before = ports(resolve("api, orders"))
    after = ports(resolve(f"{other}, api, orders"))
    assert after.pop(name) not in before.values()
    assert after == before


def test_a_new_service_at_the_end_changes_no_port(resolve: Resolve) -> None:
    before = ports(resolve())
    assert ports(resolve("api, worker, frontend, orders, ui")).items() >= before.items()


def test_an_explicit_port_is_kept_and_not_assigned_again(resolve: Resolve) -> None:
    services = resolve(["api", {"name": "orders", "port": 8000}, {"name": "billing", "port": 8001}])
    assert ports(services) == {"api": 8002, "orders": 8000, "billing": 8001}


def test_the_port_of_a_backing_service_is_free_without_it(resolve: Resolve) -> None:
    services = [{"name": "api", "port": 5432}]
    assert resolve(services, database="none")["api"].port == 5432


@pytest.mark.parametrize(
    ("services", "door"),
    [
        ("api, worker, frontend", "frontend"),
        ("core:custom, api", "api"),
        ("core:custom, orders:node-api", "orders"),
        ("orders:node-api, frontend", "frontend"),
        ("orders:node-api, api", "orders"),
        ("worker, core:custom", "core"),
        ("worker", ""),
    ],
)
def test_the_front_door(resolve: Resolve, services: str, door: str) -> None:
    listed = [asdict(service) for service in resolve(services).values()]
    assert service_answers.front_door(listed) == door


def test_the_list_survives_json(resolve: Resolve) -> None:
    for service in resolve().values():
        listed = asdict(service)
        listed["sections"] = list(service.sections)
        assert json.loads(json.dumps(asdict(service))) == listed


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("My Project", "my-project"),
        ("  Prix & Café  ", "prix-cafe"),
        ("3D Shop", "d-shop"),
        ("متجر", "my-project"),
        ("🚀", "my-project"),
        ("a" * 300, "a" * 40),
        ("a" * 39 + " b", "a" * 39),
        ("--- x ---", "x"),
        ("", "my-project"),
    ],
)
def test_any_name_has_a_slug(text: str, slug: str) -> None:
    assert rules.slug(text) == slug
    rules.check_slug(slug)


@pytest.mark.parametrize(
    "registry",
    [
        "ghcr.io/my-org",
        "ghcr.io",
        "localhost:5000",
        "registry.example.com:5000/team/sub_team",
        "my-org",
        "xn--bcher-kva.example/shop",
        "127.0.0.1:5000/a__b",
    ],
)
def test_valid_registries_are_accepted(registry: str) -> None:
    rules.check_registry(registry)


@pytest.mark.parametrize(
    "registry",
    ["", "..", "-", "a..b", "a-", ".io/x", "ghcr.io/", "ghcr.io//x", "ghcr.io/My", "ghcr.io:/x"]
    + [
        "ghcr.io:８０",
        "ghcr.io/x:1",
        "ghcr.io/x y",
        "https://ghcr.io",
        "user@ghcr.io",
        "ghcr.io\n",
    ],
    ids=repr,
)
def test_invalid_registries_are_refused(registry: str) -> None:
    with pytest.raises(rules.AnswerError, match="registry"):
        rules.check_registry(registry)


def test_markdown_is_escaped() -> None:
    assert rules.markdown("a*b_c [x](y) `z` <b>") == r"a\*b\_c \[x\](y) \`z\` \<b\>"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("- item", r"\- item"),
        ("-- two", r"\-- two"),
        ("---", r"\---"),
        ("+ item", r"\+ item"),
        ("===", r"\==="),
        ("1. item", r"1\. item"),
        ("12) item", r"12\) item"),
        ("1.5 times", "1.5 times"),
        ("a - b 1. c", "a - b 1. c"),
    ],
)
def test_text_does_not_begin_a_block_of_markdown(text: str, escaped: str) -> None:
    assert rules.markdown(text) == escaped


@pytest.mark.parametrize(
    "text",
    ["null", "~", "true", "No", "y", "1", "1.0", "1e3", "0x1f", "1_000", "a: b", "[a]", "a, b", ""],
)
def test_text_that_yaml_would_read_otherwise_is_quoted(text: str) -> None:
    assert rules.yaml_text(text) == json.dumps(text)


@pytest.mark.parametrize("text", ["runtime", "../../services/api", "Dockerfile.prod", ".", "db-1"])
def test_text_that_yaml_reads_as_text_stays_bare(text: str) -> None:
    assert rules.yaml_text(text) == text


def test_the_default_slug_is_accepted() -> None:
    for name in ("null", "True", "NO!"):
        rules.check_slug(rules.slug(name))


def test_the_examples_of_the_docs_are_accepted(resolve: Callable[..., dict[str, Any]]) -> None:
    text = (ROOT / "docs/generate.md").read_text(encoding="utf-8")
    block = text.partition("### services\n")[2].partition("```yaml\n")[2].partition("```")[0]
    examples = [f"services:{part}" for part in block.split("\nservices:")[1:]]
    assert len(examples) == 4
    for example in examples:
        assert resolve(yaml.safe_load(example)["services"])


def test_no_reserved_name_is_accepted() -> None:
    for words in rules.RESERVED.values():
        for word in words:
            with pytest.raises(rules.AnswerError):
                rules.check_name(word.replace("_", "-"))


def test_the_suggestion_of_a_refusal_is_accepted() -> None:
    names = [word for words in rules.RESERVED.values() for word in words]
    names += ["Api", "2fast", "-x", "x-", "a--b", "a_b", "", "🚀", "api-migrate", "pg-x"]
    for name in names:
        # The corrected name may be reserved, so its refusal has another suggestion.
        for _ in range(3):
            try:
                rules.check_name(name)
            except rules.AnswerError as refusal:
                suggestion = re.search(r"try '([^']*)'", str(refusal))
                assert suggestion, refusal
                name = suggestion[1]
        rules.check_name(name)


def test_the_author_comes_from_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Zoë")
    assert questions.git_config("user.name") == "Zoë"
    assert questions.git_config("user.email") == ""
    monkeypatch.setenv("PATH", "")
    assert questions.git_config("user.name") == ""


def test_an_author_in_another_encoding_causes_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    config = tmp_path / "config"
    config.write_bytes('[user]\nname = "Zo\xeb"\n'.encode("latin-1"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    found = subprocess.run(["git", "config", "user.name"], capture_output=True, check=True)
    assert found.stdout == b"Zo\xeb\n"
    assert questions.git_config("user.name").startswith("Zo")
