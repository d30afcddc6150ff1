"""The answers `orchestrator`, deploy/kubernetes and deploy/swarm, in updates and changes of services."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import ANSWERS, NEXT, NOW, OLD, Fresh, Generate, Project, files

Merge = Callable[..., tuple[int, str]]

KUBERNETES = "deploy/kubernetes"
SWARM = "deploy/swarm"
RELEASE = "release/kustomization.yaml"
PINNED = "images:\n- name: ghcr.io/my-org/my-project-api\n  newTag: 1.2.3\n"


def kubernetes(generate: Generate, services: str, **more: str) -> Project:
    """Return a project with edits in the files of a service, and with a pinned release."""
    answers = {"orchestrator": ["swarm", "kubernetes"], "services": services, **more}
    project = generate(answers, NOW)
    manifest = f"{KUBERNETES}/base/api.yaml"
    project.write(manifest, project.read(manifest).replace("maxReplicas: 6", "maxReplicas: 9"))
    project.append(f"{KUBERNETES}/overlays/prod/{RELEASE}", PINNED)
    stack = f"{SWARM}/docker-stack.yml"
    project.write(stack, project.read(stack).replace("max-size: 20m", "max-size: 99m"))
    project.commit()
    return project


def test_an_older_project_gets_the_default_and_can_choose_kubernetes_later(
    generate: Generate, fresh: Fresh, merge: Merge
) -> None:
    project = generate({"services": "api"}, OLD[-1])
    code, output = merge(project, "update", f"--ref={NOW}")
    assert code == 0
    assert project.answers()["orchestrator"] == ["compose"]
    assert "orchestrator is a new question, answered with its default ['compose']" in output
    assert not project.path(KUBERNETES).exists()
    project.commit()

    code, _ = merge(project, "update", f"--ref={NEXT}", "-d", "orchestrator=[compose, kubernetes]")
    assert code == 0
    assert project.answers()["orchestrator"] == ["compose", "kubernetes"]
    new = files(fresh(project.given(), NEXT) / KUBERNETES)
    assert new and files(project.path(KUBERNETES)) == new
    project.commit()

    code, _ = merge(project, "update", f"--ref={NEXT}", "-d", "orchestrator=[swarm]")
    assert code == 0
    assert not project.path(KUBERNETES).exists()


def test_a_new_service_has_manifests_and_the_pinned_release_stays(
    generate: Generate, fresh: Fresh, merge: Merge
) -> None:
    project = kubernetes(generate, "api")
    code, _ = merge(project, "add-service", f"--ref={NOW}", "frontend")
    assert code == 0
    found = files(project.path(KUBERNETES))
    wanted = files(fresh(project.given(), NOW) / KUBERNETES)
    wanted["base/api.yaml"] = wanted["base/api.yaml"].replace(b"cas: 6", b"cas: 9")
    # It has no image of the new service: deploy.sh refuses an image without a digest.
    wanted[f"overlays/prod/{RELEASE}"] += PINNED.encode()
    assert found == wanted
    stack = files(fresh(project.given(), NOW) / SWARM)
    stack["docker-stack.yml"] = stack["docker-stack.yml"].replace(b"size: 20m", b"size: 99m")
    assert files(project.path(SWARM)) == stack
    assert b"\n  frontend:\n" in stack["docker-stack.yml"]


@pytest.mark.drills
def test_a_renamed_service_keeps_the_edits_of_its_manifests(
    generate: Generate, fresh: Fresh, merge: Merge
) -> None:
    project = kubernetes(generate, "api, frontend")
    code, output = merge(project, "rename-service", f"--ref={NOW}", "api", "--to", "shop")
    assert code == 0
    assert "maxReplicas: 9" in project.read(f"{KUBERNETES}/base/shop.yaml")
    assert "create the Secret shop-database-password" in output
    assert "it creates the secret shop_database_password" in output
    stack = files(fresh(project.given(), NOW) / SWARM)
    stack["docker-stack.yml"] = stack["docker-stack.yml"].replace(b"size: 20m", b"size: 99m")
    assert files(project.path(SWARM)) == stack
    names = files(project.path(KUBERNETES)).keys()
    assert names == files(fresh(project.given(), NOW) / KUBERNETES).keys()
    assert "jobs/shop-migrate.yaml" in names


@pytest.mark.drills
def test_a_single_project_grows_with_its_manifests(generate: Generate, merge: Merge) -> None:
    project = generate({"orchestrator": ["kubernetes"], "layout": "single"}, NOW)
    job = f"{KUBERNETES}/jobs/migrate.yaml"
    project.write(job, project.read(job).replace("Seconds: 600", "Seconds: 900"))
    project.commit()
    code, _ = merge(project, "grow", f"--ref={NOW}", "--name", "api")
    assert code == 0
    assert "Seconds: 900" in project.read(f"{KUBERNETES}/jobs/api-migrate.yaml")
    assert not project.path(job).exists()
    assert project.path(f"{KUBERNETES}/base/api.yaml").exists()


def test_a_wrong_answer_changes_nothing(generate: Generate) -> None:
    project = generate({"services": "api"}, NOW)
    output = project.make("template-update", "ARGS=-d orchestrator='[nomad]'", code=2)
    assert "orchestrator 'nomad' is unknown" in output and "Traceback" not in output
    assert project.status() == []
    assert project.read(ANSWERS)


@pytest.mark.drills
def test_a_removed_service_leaves_no_line_in_both_folders(
    generate: Generate, fresh: Fresh, merge: Merge
) -> None:
    project = generate(
        {"orchestrator": ["swarm", "kubernetes"], "services": "api, orders:node-api"}, NOW
    )
    code, _ = merge(project, "remove-service", f"--ref={NOW}", "orders")
    assert code == 0
    for folder in (SWARM, KUBERNETES):
        found = files(project.path(folder))
        assert found == files(fresh(project.given(), NOW) / folder)
        assert not [name for name, text in found.items() if b"orders" in text]
