"""Adding, removing and renaming services changes nothing else in a project."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import (
    ANSWERS,
    NEXT,
    NOW,
    OLD,
    Fresh,
    Generate,
    Project,
    expected,
    files,
    same_answers,
)

OVERRIDE = "deploy/dev/docker-compose.override.yml"
OWN_SERVICE = "services:\n  mail:\n    image: axllent/mailpit:v1.27\n"

FORMS: dict[str, Any] = {
    "line": "api, engine:custom, shop-web",
    "strings": ["api", "engine:custom", "shop-web"],
    "mappings": [
        {"name": "api", "port": 18000},
        {"name": "engine", "kind": "custom"},
        {"name": "shop-web", "kind": "node-web", "needs": ["api"]},
    ],
}


def extended(generate: Generate, services: Any, version: str = NOW) -> Project:
    """Return a project with a service that the user added to the override file."""
    answers = services if isinstance(services, dict) else {"services": services}
    project = generate(answers, version)
    project.write(OVERRIDE, OWN_SERVICE)
    project.commit()
    return project


def check(project: Project, before: dict[str, bytes], fresh: Fresh, *new_folders: str) -> None:
    """Check that a project has what its answers describe, keeps all edits, and is staged."""
    assert not [line for line in project.status() if line[1] != " "]
    after = files(fresh(project.given(), project.answers()["_commit"]))
    found = project.files()
    for folder in new_folders:
        found.pop(f"{folder}uv.lock", None)
        found.pop(f"{folder}package-lock.json", None)
    wanted = expected(before, after, *new_folders)
    same_answers(found, wanted)
    assert found == wanted


@pytest.mark.parametrize("form", FORMS)
def test_a_new_service_is_at_the_end_of_the_list_in_the_same_form(
    form: str, generate: Generate, fresh: Fresh
) -> None:
    project = extended(generate, FORMS[form])
    before, ports = project.files(), project.ports()
    project.template("add-service", "billing", "--kind=custom")
    services = project.answers()["services"]
    if form == "line":
        assert services == f"{FORMS[form]}, billing:custom"
    else:
        assert services == [*FORMS[form], "billing:custom"]
    assert ports.items() < project.ports().items()
    check(project, before, fresh, "services/billing/")
    project.undo()
    assert project.status() == []
    assert project.files() == before


def test_make_adds_several_services_with_needs(generate: Generate, fresh: Fresh) -> None:
    project = extended(generate, "api, engine:custom")
    before, ports = project.files(), project.ports()
    project.make("add-service", "NAME=billing search:custom", "NEEDS=api engine")
    assert project.answers()["services"] == [
        *("api", "engine:custom"),
        {"name": "billing", "needs": ["api", "engine"]},
        {"name": "search", "kind": "custom", "needs": ["api", "engine"]},
    ]
    assert ports.items() < project.ports().items()
    assert (project.root / "services/billing/uv.lock").exists()
    check(project, before, fresh, "services/billing/", "services/search/")


def test_existing_services_need_the_new_one_only_if_asked(generate: Generate, fresh: Fresh) -> None:
    project = extended(generate, "api, shop-web")
    before = project.files()
    project.template("add-service", "worker")
    assert project.answers()["services"] == [
        {"name": "api", "needs": []},
        "shop-web",
        "worker",
    ]
    check(project, before, fresh, "services/worker/")
    project.undo()
    output = project.make("add-service", "NAME=worker", "NEEDED_BY=api")
    assert project.answers()["services"] == "api, shop-web, worker"
    assert "QUEUE_URL" in project.read("services/api/deploy/test/docker-compose.yml")
    # The source belongs to the user.
    assert not project.path("services/api/api/jobs.py").exists()
    assert "services/api/api/jobs.py" in output
    check(project, before, fresh, "services/worker/")


def test_an_existing_folder_is_adopted(generate: Generate, fresh: Fresh) -> None:
    project = extended(generate, "api")
    own = {
        "Dockerfile": "FROM scratch\n",
        "go.mod": "module billing\n",
        "main_test.go": "package main\n",
    }
    for name, text in own.items():
        project.write(f"services/billing/{name}", text)
    project.commit()
    before = project.files()
    project.template("add-service", "billing:custom")
    assert project.answers()["adopted"]["billing"]["test_unit"] == [
        "go test -v $(or $(TESTS),./...) $(ARGS)"
    ]
    assert {name for name in project.files() if name.startswith("services/billing/")} == {
        f"services/billing/{name}" for name in (*own, "Makefile", "deploy/test/docker-compose.yml")
    }
    for name, text in own.items():
        assert project.read(f"services/billing/{name}") == text
    assert "\tgo test -v $(or $(TESTS),./...) $(ARGS)\n" in project.read(
        "services/billing/Makefile"
    )
    check(project, before, fresh, "services/billing/Makefile", "services/billing/deploy/")


def test_a_service_is_added_across_versions(generate: Generate, fresh: Fresh) -> None:
    project = extended(generate, "api, worker", OLD[0])
    before, ports = project.files(), project.ports()
    project.template("add-service", "billing", "--kind=custom", f"--version={NEXT}")
    assert project.answers()["_commit"] == NEXT
    assert ports.items() < project.ports().items()
    check(project, before, fresh, "services/billing/")


def test_a_list_on_the_command_line_adds_and_removes_services_at_once(
    generate: Generate, fresh: Fresh
) -> None:
    project = extended(generate, "api, engine:custom")
    before = project.files()
    project.make(
        "template-update",
        "ARGS=-d 'services=[{name: api, port: 8010}, \"billing:custom\"]' -d 'project_name=A \"B\"'",
    )
    answers = project.answers()
    assert answers["services"] == [{"name": "api", "port": 8010}, "billing:custom"]
    assert answers["project_name"] == 'A "B"'
    assert project.ports()["API_PORT"] == "8010"
    kept = {n: t for n, t in before.items() if not n.startswith("services/engine/")}
    after = files(fresh(project.given(), answers["_commit"]))
    found, wanted = project.files(), expected(kept, after, "services/billing/")
    same_answers(found, wanted)
    assert found == wanted


def test_new_services_are_checked_together_with_the_other_answers(
    generate: Generate, merge: Callable[..., tuple[int, str]]
) -> None:
    project = extended(generate, {"services": "engine:custom", "database": "none"})
    given = ("--data=services=engine:custom, worker", "--data=cache=redis")
    code, _ = merge(project, "update", f"--ref={NOW}", *given)
    assert code == 0
    assert project.answers()["services"] == "engine:custom, worker"


def test_plain_copier_does_not_overwrite_ignored_files(
    generate: Generate,
) -> None:
    project = extended(generate, {"services": "engine:custom", "database": "none"})
    project.write(".git/info/exclude", "services/billing/\nrenovate.json\n")
    project.git("rm", "--quiet", "--cached", "renovate.json")
    project.commit("mine alone")
    own = {"renovate.json": "{}\n", "services/billing/Makefile": "mine:\n"}
    for name, text in own.items():
        project.write(name, text)
    before = project.files()
    project.template("add-service", "billing:custom")
    ours, index = project.files(), project.git("ls-files")
    project.undo()
    assert project.files() == before
    services = "--data=services=engine:custom, billing:custom"
    output = project.copier("--vcs-ref=:current:", services)
    assert project.files() == ours
    assert project.git("ls-files") == index
    for name, text in own.items():
        assert project.read(name) == text
    assert "services/billing/Makefile (not written, because git ignores it" in output
    assert "services/billing/Dockerfile" in index


def test_removing_services_changes_no_port_and_no_other_service(
    generate: Generate, fresh: Fresh
) -> None:
    project = extended(generate, "a, b, c, jobs:python-worker, more:python-worker, engine:custom")
    before, ports = project.files(), project.ports()
    project.make("remove-service", "NAME=b jobs")
    assert project.answers()["services"] == [
        {"name": "a", "needs": []},
        {"name": "c", "needs": [], "published": 8002},
        "more:python-worker",
        "engine:custom",
    ]
    assert project.ports() == {key: port for key, port in ports.items() if key != "B_PORT"}
    assert not project.path("services/b").exists()
    assert not project.path("services/jobs").exists()
    gone = ("services/b/", "services/jobs/")
    kept = {name: text for name, text in before.items() if not name.startswith(gone)}
    check(project, kept, fresh)


EDITS = {
    "an edited Dockerfile": ("Dockerfile", "# mine\n"),
    "an edited source": ("b/main.py", "# mine\n"),
    "an added file": ("notes.txt", "mine\n"),
}


@pytest.mark.parametrize("what", EDITS)
def test_the_folder_of_a_removed_service_is_kept_if_it_has_edits(
    what: str, generate: Generate
) -> None:
    project = extended(generate, "a, b")
    name, text = EDITS[what]
    path = f"services/b/{name}"
    project.write(path, (project.read(path) if project.path(path).exists() else "") + text)
    project.write("services/b/uv.lock", "version = 1\n")
    project.commit()
    before = files(project.root / "services/b")
    output = project.template("remove-service", "b")
    assert f"kept services/b/, because you changed files in it ({path})" in output
    assert files(project.root / "services/b") == before
    assert project.answers()["services"] == "a"
    assert "services/b" not in project.read("deploy/dev/docker-compose.yml")


def test_plain_copier_keeps_the_folder_too_and_delete_removes_it(generate: Generate) -> None:
    project = extended(generate, "a, b")
    path = "services/b/b/main.py"
    project.append(path, "# mine\n")
    project.commit()
    before = files(project.root / "services/b")
    project.make("remove-service", "NAME=b", "DELETE=1")
    assert not project.path("services/b").exists()
    project.undo()
    assert files(project.root / "services/b") == before
    # Copier alone would delete them silently.
    output = project.copier("--vcs-ref=:current:", "--data=services=a")
    assert f"kept services/b/, because you changed files in it ({path})" in output
    assert files(project.root / "services/b") == before


def test_ignored_files_of_a_removed_service_stay(generate: Generate) -> None:
    project = extended(generate, "a, b")
    project.write("services/b/.env", "SECRET=1\n")
    output = project.template("remove-service", "b")
    assert files(project.root / "services/b") == {".env": b"SECRET=1\n"}
    assert (
        "services/b/ still has files that git ignores; move what you need, then remove the rest: "
        "rm -r services/b" in output
    )


def test_the_users_files_that_the_template_generates_differently_are_listed(
    generate: Generate,
) -> None:
    project = extended(generate, "api, worker")
    output = project.template("remove-service", "worker")
    assert "- api no longer gets the address of worker; check whether its source" in output
    project.undo()
    output = project.template("update", "--data=cache=redis")
    [listed] = [line for line in output.splitlines() if "generates them differently" in line]
    for name in ("api/pyproject.toml", "worker/pyproject.toml", "api/api/rates.py"):
        assert f"services/{name}" in listed
    assert "Makefile" not in listed
    # An update writes the answers itself, so there is nothing to copy.
    assert ANSWERS not in listed


def test_a_removed_service_can_be_added_again(generate: Generate, fresh: Fresh) -> None:
    project = extended(generate, "a, b")
    before = project.files()
    project.template("remove-service", "b")
    project.commit()
    assert not project.path("services/b").exists()
    project.template("add-service", "b")
    check(project, before, fresh, "services/b/")


def test_a_removed_service_whose_folder_was_kept_can_be_added_again_with_its_edits(
    generate: Generate,
) -> None:
    project = extended(generate, "a, b")
    project.append("services/b/b/main.py", "# mine\n")
    project.write("services/b/README.md", "mine\n")
    project.commit()
    before = project.files()
    project.template("remove-service", "b")
    project.commit()
    project.template("add-service", "b")
    found = project.files()
    found.pop("services/b/uv.lock", None)
    assert found == before


def test_a_renamed_service_keeps_its_edits_and_its_history(
    generate: Generate, fresh: Fresh
) -> None:
    project = extended(generate, "api, orders:python-api, shop-web, jobs:python-worker")
    text = project.read("services/orders/Dockerfile")
    project.write("services/orders/Dockerfile", text.replace("EXPOSE", "# mine\nEXPOSE"))
    project.append("services/orders/orders/items.py", "\n\ndef mine() -> None: ...\n")
    project.write("services/orders/orders/own.py", "from orders.items import mine\n\nmine()\n")
    project.write("services/orders/tool.sh", "#!/bin/sh\n", mode=0o755)
    project.write("services/orders/.env", "A=1\n")
    project.append(OVERRIDE, "  orders:\n    environment: {A: 1}\n")
    project.commit()
    before, ports = project.files(), project.ports()

    output = project.make("rename-service", "NAME=orders", "TO=sales")

    assert project.answers()["services"] == "api, sales:python-api, shop-web, jobs:python-worker"
    assert project.ports() == {k.replace("ORDERS", "SALES"): v for k, v in ports.items()}
    assert files(project.root / "services/orders") == {".env": b"A=1\n"}
    assert "# mine\nEXPOSE" in project.read("services/sales/Dockerfile")
    assert "COPY --chmod=755 sales ./sales" in project.read("services/sales/Dockerfile")
    assert project.read("services/sales/sales/items.py").endswith("def mine() -> None: ...\n")
    assert "from sales.items import" in project.read("services/sales/sales/own.py")
    assert project.path("services/sales/tool.sh").stat().st_mode & 0o111
    assert "sales" in project.read("services/sales/pyproject.toml")
    assert "orders" not in "".join(
        text.decode()
        for name, text in project.files().items()
        if name.startswith("services/sales/")
    )
    assert f"{OVERRIDE}:4 still says 'orders'" in output
    assert "in your .env files, rename ORDERS_… to SALES_…" in output
    assert "sales now uses the database 'sales' and the role 'sales'." in output
    # The rest is as in a new project.
    found = {n: t for n, t in project.files().items() if not n.startswith("services/sales/")}
    after = files(fresh(project.given(), NOW))
    old = {n: t for n, t in before.items() if not n.startswith("services/orders/")}
    wanted = expected(old, {n: t for n, t in after.items() if not n.startswith("services/sales/")})
    wanted["services/orders/.env"] = b"A=1\n"
    same_answers(found, wanted)
    assert found == wanted
    assert files(fresh(project.given(), NOW)).keys() - project.files().keys() == set()
    project.commit("rename")
    log = project.git("log", "--follow", "--format=%s", "--", "services/sales/sales/items.py")
    assert log.splitlines() == ["rename", "edit", "Start"]


def test_a_renamed_service_may_have_two_lock_files(
    generate: Generate, merge: Callable[..., tuple[int, str]]
) -> None:
    project = extended(generate, {"services": "engine:custom", "database": "none"})
    project.write(
        "services/engine/pyproject.toml",
        '[project]\nname = "engine"\nversion = "1"\nrequires-python = ">=3.11"\n',
    )
    project.write("services/engine/package.json", '{"name": "engine", "version": "1.0.0"}\n')
    for name in ("uv.lock", "package-lock.json"):
        project.write(f"services/engine/{name}", "")
    project.path("services/engine/docs").symlink_to("../../docs")
    project.path("services/engine/own").symlink_to("app.py")
    project.commit()
    code, output = merge(project, "rename-service", "engine", "--to=motor", f"--ref={NOW}")
    assert code == 0
    for name in ("pyproject.toml", "package.json", "uv.lock", "package-lock.json"):
        assert project.path(f"services/motor/{name}").exists()
    assert (
        "services/motor/docs is a link to ../../docs, which does not exist; fix the link" in output
    )
    assert "services/motor/own is a link" not in output


def test_two_services_are_renamed_at_once_and_across_versions(
    generate: Generate, fresh: Fresh
) -> None:
    project = extended(
        generate, ["api", {"name": "engine", "kind": "custom", "needs": ["api"]}], OLD[0]
    )
    project.append("services/engine/app.py", "# mine\n")
    project.append("services/api/api/main.py", "# mine\n")
    project.commit()
    ports = project.ports()
    project.template(
        *("rename-service", "api", "engine", "--to", "shop-api", "motor", f"--version={NEXT}")
    )
    assert project.answers()["services"] == [
        "shop-api",
        {"name": "motor", "kind": "custom", "needs": ["shop-api"]},
    ]
    assert list(project.ports().values()) == list(ports.values())
    assert project.read("services/motor/app.py").endswith("# mine\n")
    assert project.read("services/shop-api/shop_api/main.py").endswith("# mine\n")
    found, after = project.files(), files(fresh(project.given(), NEXT))
    test_stack = "services/motor/deploy/test/docker-compose.yml"
    for name in ("services/shop-api/Dockerfile", test_stack, "Makefile"):
        assert found[name] == after[name]
    assert not project.path("services/api").exists()
    assert not project.path("services/engine").exists()


def test_a_conflict_in_a_moved_file_is_reported(generate: Generate) -> None:
    project = extended(generate, "api, orders:python-api")
    text = project.read("services/orders/Dockerfile")
    project.write("services/orders/Dockerfile", text.replace("orders ./orders", "o ./o"))
    project.commit()
    output = project.template("rename-service", "orders", "--to", "sales", code=1)
    assert "UU services/sales/Dockerfile" in project.status()
    assert "conflict: services/sales/Dockerfile:" in output
    assert "COPY --chmod=755 o ./o" in project.read("services/sales/Dockerfile")
    project.undo()
    assert project.status() == []


REFUSED = {
    "a name in use": (
        ("rename-service", "api", "--to", "engine"),
        "service 'engine' already exists",
    ),
    "an existing folder": (
        ("rename-service", "api", "--to", "lib"),
        "services/lib/ already exists",
    ),
    "an unknown service": (("rename-service", "x", "--to", "y"), "service 'x' does not exist"),
    "too few names": (
        ("rename-service", "api", "engine", "--to", "y"),
        "cannot rename 2 services to 1 names",
    ),
    "a new name twice": (
        ("rename-service", "api", "engine", "--to", "y", "y"),
        "'y' is given twice; give each service its own name",
    ),
    "a list that is not YAML": (
        ("update", "-d", "services=[api, worker"),
        "services '[api, worker' is not valid YAML (",
    ),
    "a folder with the user's files": (
        ("add-service", "lib"),
        "services/lib/ already exists, and the template did not generate it as a python-api; give",
    ),
    "a link instead of a folder": (
        ("add-service", "linked:custom"),
        "services/linked exists and is not a folder; move it away first",
    ),
    "a move to a link": (
        ("rename-service", "api", "--to", "linked"),
        "services/linked/ already exists; move it away, or choose another name",
    ),
    "a bad name": (("add-service", "Bad_Name"), "must start with a letter"),
    "a name twice": (("add-service", "engine"), "service 'engine' already exists"),
    "an unknown kind": (("add-service", "x", "--kind=java"), "has the unknown kind 'java'"),
    "an unknown need": (
        ("add-service", "x", "--needs=y"),
        "needs 'y', which is not a service of this",
    ),
    "a worker without a store": (
        ("add-service", "worker"),
        "runs background jobs, which are stored in the cache",
    ),
    "the last service": (("remove-service", "api", "engine"), "is the last one"),
    "removing an unknown service": (("remove-service", "x"), "service 'x' does not exist"),
    "growing a multi project": (("grow",), "already allows several services"),
    "back to single": (("update", "-d", "layout=single"), "a multi project cannot become single"),
}


@pytest.fixture(scope="module")
def refusing(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that no test changes."""
    made = fresh({"services": "api, engine:custom", "database": "none"}, NOW)
    root = tmp_path_factory.mktemp("refusing") / "project"
    shutil.copytree(made, root)
    project = Project(root)
    project.write("services/lib/x.txt", "mine\n")
    project.path("services/linked").symlink_to("lib")
    project.commit()
    return project


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_one_line(what: str, refusing: Project) -> None:
    arguments, reason = REFUSED[what]
    output = refusing.template(*arguments, code=2)
    [line] = output.splitlines()
    assert reason in line
    assert line.endswith("; nothing was changed")
    assert refusing.status() == []


def test_a_make_target_without_a_name_says_so(refusing: Project) -> None:
    done = subprocess.run(
        ["make", "add-service"], cwd=refusing.root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "the following arguments are required: NAME" in done.stderr
    assert refusing.status() == []
