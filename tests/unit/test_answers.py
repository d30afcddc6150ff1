"""Hostile answers, given to Copier: each one results in a correct project, or in one line of refusal.

Copier itself refuses a value that is not among a question's choices, such as `layout=nope`, with a
traceback. These tests do not cover that.
"""

from __future__ import annotations

import ast
import html
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from copier.errors import UserMessageError
from hypothesis import given, settings
from hypothesis import strategies as st

from extensions import destination, rules

Render = Callable[[Mapping[str, Any]], Path]

#: Valid project names that break careless templates.
NAMES = {
    "double quotes": 'The "Best" Shop',
    "single quotes": "Bob's 'Shop'",
    "both quotes": "\"'\"'",
    "three double quotes": 'a """ b',
    "a dollar": "Save $5",
    "two dollars": "$$",
    "a variable": "${HOME} $(id) `id`",
    "a compose variable": "${X:?no}",
    "a make function": "$(shell id)",
    "a hash": "C# #1",
    "a leading hash": "# Shop",
    "a colon and a space": "Shop: the sequel",
    "a trailing colon": "Shop:",
    "an expression": "{{ project_slug }}",
    "a statement": "{% raw %}",
    "a Jinja comment": "{# gone #}",
    "a backslash": "C:\\new\\table",
    "a trailing backslash": "Shop\\",
    "an escaped quote": '\\"',
    "a unicode escape": "\\u0041 \\x41",
    "an emoji": "Shop 🚀👩‍🚀",
    "right to left": "متجر שלום",
    "bidirectional marks": "a \u202eb\u202c c",
    "a combining accent": "Cafe\u0301",
    "300 characters": "x" * 300,
    "300 words": " ".join(["word"] * 60),
    "a leading hyphen": "- shop",
    "an at sign": "@shop",
    "an anchor": "&shop",
    "an alias": "*shop",
    "a tag": "!shop",
    "a percent": "%shop 100%",
    "a pipe": "| shop",
    "a greater than": "> shop",
    "brackets": "[shop] {x}",
    "a yes": "yes",
    "a null": "null",
    "a number": "1.0",
    "a date": "2024-01-01",
    "an HTML tag": "<script>alert(1)</script>",
    "an HTML comment": "--> ]]> </title>",
    "an ampersand": "Fish & Chips &amp;",
    "a no-break space": "a\u00a0b",
    "spaces around": "  Shop  ",
    "a zero-width space": "a\u200bb",
    "a byte-order mark": "\ufeffShop",
}

#: Answers that are refused, and a pattern for the line: the value, and the rule or a way out.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "name: empty": ({"project_name": ""}, "project_name is empty"),
    "name: spaces": ({"project_name": "   "}, "project_name is empty"),
    "name: newline": ({"project_name": "a\nb"}, r"'\\n'.*one line"),
    "name: carriage return": ({"project_name": "a\rb"}, r"'\\r'.*one line"),
    "name: tab": ({"project_name": "a\tb"}, r"'\\t'.*one line"),
    "name: line separator": ({"project_name": "a\u2028b"}, r"u2028.*one line"),
    "name: next line": ({"project_name": "a\x85b"}, r"x85.*one line"),
    "name: bell": ({"project_name": "a\x07b"}, r"x07.*one line"),
    "name: escape": ({"project_name": "\x1b[31mred"}, r"x1b.*one line"),
    "description: newline": ({"description": "a\nb"}, "description contains"),
    "author: newline": ({"author_name": "a\nb"}, "author_name contains"),
    "email: newline": ({"author_email": "a\nb"}, "author_email contains"),
    "slug: empty": ({"project_slug": ""}, "project_slug ''.*try"),
    "slug: upper case": ({"project_slug": "MyShop"}, "'MyShop'.*try 'myshop'"),
    "slug: 41 characters": ({"project_slug": "a" * 41}, "41 characters, but 40 is the maximum"),
    "slug: leading digit": ({"project_slug": "3shop"}, "'3shop'.*start with a letter"),
    "slug: trailing hyphen": ({"project_slug": "shop-"}, "'shop-'.*try 'shop'"),
    "slug: double hyphen": ({"project_slug": "my--shop"}, "try 'my-shop'"),
    "slug: underscore": ({"project_slug": "my_shop"}, "try 'my-shop'"),
    "slug: newline": ({"project_slug": "shop\n"}, r"'shop\\n'.*try 'shop'"),
    "registry: upper case": ({"registry": "ghcr.io/MyOrg"}, "'ghcr.io/MyOrg'.*lower case"),
    "registry: scheme": ({"registry": "https://ghcr.io/me"}, "without a scheme"),
    "registry: slash at the end": ({"registry": "ghcr.io/me/"}, "slash at the end"),
    "registry: empty": ({"registry": ""}, "registry ''"),
    "orchestrator: empty": ({"orchestrator": []}, "orchestrator is empty; choose at least one"),
    "orchestrator: empty text": ({"orchestrator": ""}, "orchestrator '' must be a list"),
    "orchestrator: no list": (
        {"orchestrator": "swarm"},
        r"must be a list; for example -d 'orchestrator=\[compose, kubernetes\]'",
    ),
    "orchestrator: not YAML": ({"orchestrator": "[swarm"}, r"'\[swarm' must be a list"),
    "orchestrator: unknown": (
        {"orchestrator": "[compose, nomad]"},
        "'nomad' is unknown; choose from compose, swarm, kubernetes",
    ),
    "services: empty": ({"services": ""}, "services is empty.*'api'"),
    "services: empty list": ({"services": []}, "services is empty"),
    "services: number": ({"services": 5}, "services 5 is of type int; enter a line"),
    "services: fraction": ({"services": 1.5}, "services 1.5"),
    "services: boolean": ({"services": True}, "services True is of type bool; enter a line"),
    "services: null": ({"services": None}, "services is empty"),
    "services: mapping": ({"services": {"api": "python-api"}}, "without a space after the colon"),
    "services: numbers": ({"services": [1, 2]}, "service 1 is of type int; write its name"),
    "services: lists": ({"services": [["api"]]}, r"service \['api'\] is of type list"),
    "services: null in a list": ({"services": [None]}, "service None"),
    "services: space after colon": (
        {"services": ["api", {"web": "node-web"}]},
        "'web'.*write 'web:node-web'",
    ),
    "services: space after colon, number": ({"services": [{1: "custom"}]}, "'1:custom'"),
    "services: newline in a key": ({"services": [{"a\nb": "custom"}]}, r"'a\\nb:custom'"),
    "services: boolean key": ({"services": [{True: "x"}]}, "key 'True'"),
    "services: unknown key": ({"services": [{"name": "api", "ports": 1}]}, "key 'ports'.*needs"),
    "services: unknown kind": ({"services": "api:ruby"}, "kind 'ruby'; choose one of python-api"),
    "services: no kind": ({"services": "api:"}, "without a space after the colon"),
    "services: kind is a list": ({"services": [{"name": "api", "kind": ["custom"]}]}, "choose one"),
    "services: no name": ({"services": [{"kind": "custom"}]}, "has no name"),
    "services: empty name": ({"services": ":custom"}, "has no name"),
    "services: number as name": ({"services": [{"name": 5}]}, "has no name"),
    "services: duplicate": ({"services": "api, web, api"}, "'api' is named twice"),
    "service: upper case": ({"services": "Api"}, "'Api'.*try 'api'"),
    "service: leading digit": ({"services": "2fast"}, "'2fast'.*try 'fast'"),
    "service: leading hyphen": ({"services": "-api"}, "'-api'.*try 'api'"),
    "service: trailing hyphen": ({"services": "api-"}, "'api-'.*try 'api'"),
    "service: underscore": ({"services": "my_api"}, "'my_api'.*try 'my-api'"),
    "service: double hyphen": ({"services": "my--api"}, "'my--api'.*try 'my-api'"),
    "service: space": ({"services": "my api"}, "'my api'.*try 'my-api'"),
    "service: dot": ({"services": "../api"}, "'../api'.*try 'api'"),
    "service: newline": ({"services": ["a\nb"]}, r"'a\\nb'.*try 'a-b'"),
    "service: expression": ({"services": ["{{ x }}"]}, r"'\{\{ x \}\}'"),
    "service: emoji": ({"services": "🚀"}, "'🚀'.*try 'api'"),
    "service: full-width": ({"services": "ａｐｉ"}, "must start with a letter"),
    "service: 31 characters": ({"services": "a" * 31}, "31 characters, but 30 is the maximum"),
    "port: 0": ({"services": [{"name": "api", "port": 0}]}, "port 0;.*1 to 65535"),
    "port: negative": ({"services": [{"name": "api", "port": -1}]}, "port -1;.*1 to 65535"),
    "port: 70000": ({"services": [{"name": "api", "port": 70000}]}, "port 70000;.*1 to 65535"),
    "port: text": ({"services": [{"name": "api", "port": "80"}]}, "port '80';.*whole number"),
    "port: boolean": ({"services": [{"name": "api", "port": True}]}, "port True;.*whole number"),
    "port: fraction": ({"services": [{"name": "api", "port": 80.5}]}, "port 80.5;.*whole number"),
    "port: of a worker": ({"services": [{"name": "worker", "port": 1}]}, "remove its port"),
    "port: twice": (
        {"services": [{"name": "api", "port": 8000}, {"name": "web", "port": 8000}]},
        "'web' has the port 8000, which api uses",
    ),
    "port: the database's": (
        {"services": [{"name": "api", "port": 5432}]},
        "5432.*the database uses",
    ),
    "port: the cache's": ({"services": [{"name": "api", "port": 6379}]}, "6379.*the cache uses"),
    "needs: an unknown service": (
        {"services": ["web", {"name": "api", "needs": ["ghost"]}]},
        "'api' needs 'ghost'.*choose from web",
    ),
    "needs: an unknown service, without others": (
        {"services": [{"name": "api", "needs": ["ghost"]}]},
        "'ghost'.*remove this need",
    ),
    "needs: itself": ({"services": [{"name": "api", "needs": ["api"]}]}, "'api' needs itself"),
    "needs: a cycle of two": (
        {"services": [{"name": "api", "needs": "core"}, {"name": "core", "needs": "api"}]},
        r"cycle \((api -> core -> api|core -> api -> core)\)",
    ),
    "needs: a cycle of three": (
        {
            "services": [
                {"name": "a", "needs": "b"},
                {"name": "b", "needs": "c"},
                {"name": "c", "needs": "a"},
            ]
        },
        r"cycle \(\w -> \w -> \w -> \w\); remove one",
    ),
    "needs: number": ({"services": [{"name": "api", "needs": 5}]}, "needs 5; give a list"),
    "needs: mapping": ({"services": [{"name": "api", "needs": {"a": 1}}]}, "give a list"),
    "needs: numbers": ({"services": [{"name": "api", "needs": [1]}]}, "give a list"),
    "needs: a missing database": (
        {"services": [{"name": "core", "kind": "custom", "needs": "database"}], "database": "none"},
        "'core' needs the database.*question 'database'",
    ),
    "an unknown name": ({"databse": "none"}, "no question 'databse'; do you mean 'database'"),
    "a name like no other": ({"colour": "red"}, "no question 'colour'; choose from project_name"),
    "an unknown choice": ({"layout": "both"}, "layout 'both' is unknown.*multi, single"),
    "a version as a number": ({"python_version": 3.1}, r"python_version '3\.1' is unknown"),
    "a list for a text": ({"description": ["a"]}, "description is a list, but it must be text"),
    "a mapping for a choice": ({"forge": {"a": 1}}, "forge is a dict, but it must be text"),
    "nothing for a text": ({"author_name": None}, "author_name is nothing, but it must be text"),
    "broken YAML": ({"services": "[a, {"}, r"services '\[a, \{' is not valid YAML"),
    "a worker without a queue": (
        {"services": "worker", "database": "none", "cache": "none"},
        "'worker'.*choose a cache, or database=postgres",
    ),
    "a single worker without a queue": (
        {
            "layout": "single",
            "service_kind": "python-worker",
            "database": "none",
            "cache": "none",
        },
        "choose a cache, or database=postgres",
    ),
    **{
        f"service: {name}": ({"services": ["web", name]}, f"'{name}' is reserved: it is .*; try '")
        for name in (
            *("json", "test", "class", "match", "type", "compression", "this"),
            *("database", "cache", "stub", "migrate", "full", "rates", "database-setup"),
            *("backup", "backup-push", "door", "https", "traces"),
            *("tags", "git", "con", "com1", "fastapi", "saq", "networks", "src", "tests"),
            *("null", "true", "false", "yes", "on", "localhost", "click", "dotenv", "mako"),
            *("pydantic-core", "opentelemetry", "dateutil"),
        )
    },
    **{
        f"slug: {slug}": ({"project_slug": slug}, f"'{slug}' is a word.*try '{slug}-project'")
        for slug in ("null", "true", "no", "y")
    },
    "service: pg-backup": ({"services": "pg-backup:custom"}, "'pg_'.*try 'postgres-backup'"),
    "service: api-migrate": ({"services": "api-migrate"}, "'-migrate'.*try 'api-mover'"),
}


def files(project: Path) -> list[Path]:
    return sorted(path for path in project.rglob("*") if path.is_file())


def parse_all(project: Path) -> dict[str, Any]:
    """Parse every YAML, TOML, JSON and Python file; return the data by path."""
    parsed: dict[str, Any] = {}
    for path in files(project):
        name = str(path.relative_to(project))
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yml", ".yaml"):
            parsed[name] = yaml.load(text, yaml.CSafeLoader)
        elif path.suffix == ".toml":
            parsed[name] = tomllib.loads(text)
        elif path.suffix == ".json" and not path.name.startswith(("tsconfig", "devcontainer")):
            parsed[name] = json.loads(text)
    # By ruff, because Python cannot parse syntax that is newer than itself.
    options = ("--isolated", "--quiet", "--no-cache", "--select=E9", "--target-version=py312")
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", *options, str(project)], check=True)
    return parsed


@pytest.fixture
def refusal(template_copy: Path, tmp_path: Path) -> Callable[[Mapping[str, Any]], str]:
    """Return the function that gives answers to Copier and returns the line of refusal."""

    def refused(answers: Mapping[str, Any]) -> str:
        project = tmp_path / "project"
        with pytest.raises(UserMessageError) as caught:
            copier.run_copy(
                str(template_copy),
                project,
                data=dict(answers),
                defaults=True,
                quiet=True,
                skip_tasks=True,
                unsafe=True,
            )
        assert not project.exists()
        return str(caught.value)

    return refused


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def access(path: Path, mode: int) -> bool:
        asked.append((path, mode))
        return False

    # The user of the tests may be root, who may write everywhere.
    monkeypatch.setattr(os, "access", access)
    with pytest.raises(rules.AnswerError, match="you may not write to .*; change its owner or"):
        destination.check_folder(tmp_path / "new/project")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]
    monkeypatch.undo()
    destination.check_folder(tmp_path / "new/project")


def test_a_file_as_the_destination_is_refused(
    refusal: Callable[[Mapping[str, Any]], str], tmp_path: Path
) -> None:
    (tmp_path / "project").touch()
    with pytest.raises(AssertionError):  # It exists, because it is the file.
        refusal({})
    assert (tmp_path / "project").read_bytes() == b""


@pytest.mark.parametrize("case", REFUSED)
def test_refused(refusal: Callable[[Mapping[str, Any]], str], case: str) -> None:
    answers, says = REFUSED[case]
    line = refusal(answers)
    assert re.search(says, line), line
    assert len(line.splitlines()) == 1
    assert line.isprintable()


@pytest.mark.parametrize(
    "cases", [[*NAMES][first : first + 3] for first in range(0, len(NAMES), 3)], ids=", ".join
)
def test_a_text_is_rendered_unchanged(render: Render, cases: list[str]) -> None:
    """Each project has three texts, because the texts are independent and a render takes long."""
    texts = [NAMES[case] for case in cases]
    name, description, author = (texts * 3)[:3]
    answers = {"project_name": name, "description": description, "author_name": author}
    project = render({**answers, "layout": "single", "service_kind": "node-web"})
    parsed = parse_all(project)
    assert answers.items() <= parsed[".copier-answers.yml"].items()
    assert parsed["package.json"]["description"] == description
    title = re.search(
        "<title>(.*?)</title>", (project / "index.html").read_text(encoding="utf-8"), re.DOTALL
    )
    assert title
    assert html.unescape(title[1]) == name


@pytest.mark.parametrize(
    "case", ["both quotes", "a trailing backslash", "a unicode escape", "an emoji"]
)
def test_a_project_name_is_rendered_unchanged_in_toml(render: Render, case: str) -> None:
    answers = {"layout": "single", "database": "none", "description": NAMES[case]}
    parsed = parse_all(render({**answers, "author_name": NAMES[case]}))
    assert parsed["pyproject.toml"]["project"]["description"] == NAMES[case]
    assert parsed["pyproject.toml"]["project"]["authors"][0]["name"] == NAMES[case]


@pytest.mark.parametrize("case", NAMES)
def test_a_quoted_name_is_the_same_in_every_language(case: str) -> None:
    literal = rules.quoted(NAMES[case])
    assert tomllib.loads(f"name = {literal}") == {"name": NAMES[case]}
    assert yaml.safe_load(f"name: {literal}") == {"name": NAMES[case]}
    assert ast.literal_eval(literal) == NAMES[case]
    assert json.loads(literal) == NAMES[case]


@pytest.mark.parametrize(
    "services",
    [
        "a" * 30,
        "api",
        "a",
        "x-1-y",
        "api, worker, frontend, core:custom",
        [{"name": "api", "port": 65535}, {"name": "web", "port": 1}],
        [{"name": "core", "kind": "custom", "needs": ["database", "cache"]}],
    ],
    ids=repr,
)
def test_valid_services_at_the_limits(render: Render, services: Any) -> None:
    project = render({"services": services, "cache": "redis"})
    parsed = parse_all(project)
    assert parsed[".copier-answers.yml"]["services"] == services


# PROPERTIES -------------------------------------------------------------------
labels = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4}){0,2}", fullmatch=True)
kinds = st.sampled_from(["python-api", "python-worker", "node-api", "node-web", "custom"])
items = st.one_of(
    labels,
    st.builds("{}:{}".format, labels, kinds),
    st.fixed_dictionaries(
        {"name": labels},
        optional={
            "kind": kinds,
            "port": st.integers(-1, 70000),
            "needs": st.lists(st.sampled_from(["api", "web", "core", "cache", "database"])),
        },
    ),
)
service_lists = st.builds(
    lambda fixed, free: fixed + free,
    st.lists(st.sampled_from(["api", "web", "core:custom", "worker"]), unique=True),
    st.lists(items, max_size=5),
)
backing = st.tuples(st.sampled_from(["postgres", "none"]), st.sampled_from(["redis", "none"]))
#: Printable and unprintable characters.
texts = st.text(st.characters(codec="utf-8"), max_size=40)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
Resolve = Callable[..., dict[str, Any]]


def check_services(services: Mapping[str, Any]) -> None:
    ports = [service.port for service in services.values() if service.port]
    assert len(ports) == len(set(ports))
    packages = [service.package for service in services.values()]
    assert len(packages) == len(set(packages))
    assert all(package.isidentifier() for package in packages)
    # Without cycles, services can be removed one by one, each after the services that it needs.
    left = {name: set(service.needs) for name, service in services.items()}
    while left:
        free = {name for name, needs in left.items() if not needs & left.keys()}
        assert free, left
        left = {name: needs for name, needs in left.items() if name not in free}


@settings(max_examples=100)
@given(services=service_lists, stores=backing)
def test_accepted_services_are_consistent(
    resolve: Resolve, services: Any, stores: tuple[str, str]
) -> None:
    try:
        resolved = resolve(services, database=stores[0], cache=stores[1])
    except rules.AnswerError as refusal:
        assert str(refusal).isprintable()
        return
    check_services({name: service for name, service in resolved.items()})
    taken = {"postgres": 5432, "redis": 6379}
    ports = [service.port for service in resolved.values()]
    assert not {taken.get(store) for store in stores} & set(ports)


@settings(max_examples=100)
@given(services=anything)
def test_invalid_services_are_refused_in_one_line(resolve: Resolve, services: Any) -> None:
    try:
        check_services(resolve(services))
    except rules.AnswerError as refusal:
        assert str(refusal).isprintable()


@settings(max_examples=100)
@given(name=texts)
def test_every_text_has_a_slug(name: str) -> None:
    rules.check_slug(rules.slug(name))


@settings(max_examples=100)
@given(text=texts)
def test_every_parser_reads_quoted_text_back(text: str) -> None:
    try:
        rules.check_text("text", text)
    except rules.AnswerError:
        return
    quoted = rules.quoted(text)
    assert json.loads(quoted) == text
    assert yaml.safe_load(f"a: {quoted}\n") == {"a": text}
    assert tomllib.loads(f"a = {quoted}\n") == {"a": text}
    assert eval(quoted) == text


@settings(max_examples=12)
@given(services=service_lists, stores=backing, name=texts)
def test_accepted_answers_render_to_valid_files(
    resolve: Resolve,
    render: Render,
    services: Any,
    stores: tuple[str, str],
    name: str,
) -> None:
    database, cache = stores
    try:
        resolved = resolve(services, database=database, cache=cache)
        rules.check_text("project_name", name, required=True)
    except rules.AnswerError:
        return
    answers = {"services": services, "database": database, "cache": cache, "project_name": name}
    project = render(answers)
    parsed = parse_all(project)
    assert parsed[".copier-answers.yml"]["project_name"] == name
    for service in resolved:
        assert (project / "services" / service / "Dockerfile").is_file()
        assert service in parsed["deploy/dev/docker-compose.yml"]["services"]
