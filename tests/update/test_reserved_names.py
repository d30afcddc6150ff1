"""Names that a version reserves although a project has such a service: the project can still update."""

from __future__ import annotations

import pytest
import yaml

from .conftest import ANSWERS, NOW, OLD, Generate, Merged


@pytest.mark.parametrize(
    "name",
    ["click", *(pytest.param(name, marks=pytest.mark.drills) for name in ("requests", "google"))],
)
def test_an_existing_service_keeps_its_name(name: str, generate: Generate, merge: Merged) -> None:
    project = generate(services=f"{name}:custom", database="none", version=OLD[0])
    code, output = merge(project, "update", f"--ref={NOW}")
    assert code == 0
    note = f"service {name!r} keeps its name, but a new service could not have it: it is a library"
    assert note in output
    assert project.answers()["services"] == f"{name}:custom"
    project.commit()
    # The version that reserves the name also renders it as the last version.
    code, output = merge(project, "add-service", "billing:custom", f"--ref={NOW}")
    assert code == 0
    assert note not in output
    assert project.path("services/billing/Makefile").exists()


def test_a_new_service_cannot_have_such_a_name(generate: Generate, merge: Merged) -> None:
    project = generate(services="click:custom", database="none", version=OLD[0])
    merge(project, "update", f"--ref={NOW}")
    project.commit()
    for arguments in (
        ("add-service", "google:custom"),
        ("rename-service", "click", "--to=google"),
        ("update", "--data=services=click:custom, google:custom"),
    ):
        with pytest.raises(Exception, match="'google' is reserved: it is a library that"):
            merge(project, *arguments, f"--ref={NOW}")
    assert project.status() == []


def test_a_broken_name_in_the_answers_is_still_refused(generate: Generate, merge: Merged) -> None:
    project = generate(services="engine:custom", database="none")
    answers = project.answers() | {"services": ["click;ls:custom"]}
    project.write(ANSWERS, yaml.safe_dump(answers))
    project.commit()
    with pytest.raises(Exception, match="'click;ls' must start with a letter and contain only"):
        merge(project, "update", f"--ref={NOW}")


def test_the_name_of_a_container_of_the_template_must_change_first(
    generate: Generate, merge: Merged
) -> None:
    project = generate(services="door:custom, engine:custom", database="none", version=OLD[0])
    reason = "'door' is reserved now.*first run: make rename-service NAME=door TO=door-service"
    with pytest.raises(Exception, match=reason):
        merge(project, "update", f"--ref={NOW}")
    assert project.status() == []
    code, _ = merge(project, "rename-service", "door", "--to=door-service", f"--ref={OLD[0]}")
    assert code == 0
    project.commit()
    code, _ = merge(project, "update", f"--ref={NOW}")
    assert code == 0


@pytest.mark.drills
def test_plain_copier_keeps_the_name_too(generate: Generate) -> None:
    project = generate(services="click:custom", database="none", version=OLD[0])
    output = project.copier(f"--vcs-ref={NOW}")
    assert "service 'click' keeps its name" in output
    assert project.path("services/click/app.py").exists()
