"""Base images: the digests that a real BuildKit would take from a real registry, and bytecode."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import PYTHON_VERSION, Project
from .forge import TOKEN, USER, buildx, running_registry

#: The media types of images with one platform, in the order of preference.
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

#: Removes the bytecode of a base image. The official Python images have none.
WITHOUT_BYTECODE = f"""
FROM python:{PYTHON_VERSION}-slim
RUN find / -xdev -name '*.pyc' -delete
"""

#: Prints which files of the modules that a service imports Python would compile in each container.
COMPILED = """
import importlib, os, sys
importlib.import_module(sys.argv[1])
for module in list(sys.modules.values()):
    cached = getattr(module, "__cached__", None)
    if cached and not os.path.exists(cached):
        print(module.__file__)
"""

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]


def test_a_moved_tag_of_a_base_image_changes_its_digest(
    runner: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "docker/cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(buildx())
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    engine = runner("stack_inputs").DockerEngine(tmp_path)

    with running_registry(tmp_path) as registry:
        docker("login", f"--username={USER}", f"--password={TOKEN}", registry.host)
        base, other, missing = (
            f"{registry.host}/acme/{name}:1" for name in ("base", "other", "none")
        )

        def push(name: str, label: str) -> None:
            dockerfile = f"FROM scratch\nLABEL version={label}\nCOPY Dockerfile /\n"
            (tmp_path / "Dockerfile").write_text(dockerfile)
            docker("buildx", "build", "--quiet", "--push", f"--tag={name}", str(tmp_path))
            docker("image", "rm", name)  # Otherwise a build would take it from the image store.

        push(base, "1")
        push(other, "1")
        first = engine.base_images([base, other])
        assert set(first) == {base, other}
        assert first[base] == registry.get("acme/base/manifests/1", *MANIFESTS)[1]
        assert engine.base_images([base]) == {base: first[base]}
        assert docker("image", "ls", "--quiet", base) == "", "it is asked for, not pulled"

        push(base, "2")
        moved = engine.base_images([base, other])
        assert moved[other] == first[other]
        assert moved[base] != first[base]

        assert missing not in engine.base_images([base, missing])
        assert engine.base_images([missing]) == {}


@pytest.fixture(scope="module")
def project(generate: Callable[..., Project]) -> Project:
    return generate(services="api, worker")


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_container_compiles_only_the_code_of_its_service(
    project: Project, tmp_path: Path, service: str
) -> None:
    labels = {"test.project": project.slug}
    base, image = (f"{project.slug}/{name}" for name in ("base", service))
    build = {
        "context": str(project.path / "services" / service),
        "additional_contexts": {f"python:{PYTHON_VERSION}-slim": f"docker-image://{base}"},
        "labels": labels,
    }
    services = {
        "base": {
            "image": base,
            "build": {"dockerfile_inline": WITHOUT_BYTECODE, "labels": labels},
        },
        service: {"image": image, "build": build},
    }
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": services}))
    for name in services:
        docker("compose", f"--project-directory={tmp_path}", "build", "--quiet", name)

    run = ("run", "--rm", "--network=none", f"--label=test.project={project.slug}")
    address = "--env=DATABASE_URL=postgresql+psycopg://database/name"
    compiled = docker(
        *run, address, image, "python", "-c", COMPILED, f"{service}.main"
    ).splitlines()
    assert f"/app/{service}/main.py" in compiled, "the list is complete"
    assert [file for file in compiled if not file.startswith("/app/")] == []


def docker(*args: str) -> str:
    """Run docker, which must pass, and return its output."""
    done = subprocess.run(["docker", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
