"""The sample repositories: their own unit tests pass, and adoption changes none of their files."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from extensions.services import Service, resolve

from . import conftest as samples

pytestmark = pytest.mark.programs

#: The number of passed tests, as unittest, pytest, and Node.js in both of its formats report it.
PASSED = (
    r"(?m)^Ran (?P<count>\d+) tests?",
    r"\b(?P<count>\d+) passed\b",
    r"(?m)^(?:#|ℹ) pass (?P<count>\d+)",
)
SKIPPED = r"\bskipped=(\d+)"


def passed(output: str) -> int:
    """Return how many tests passed."""
    counts = [int(found["count"]) for one in PASSED for found in re.finditer(one, output)]
    # unittest counts a skipped test as one that ran.
    return sum(counts) - sum(int(one) for one in re.findall(SKIPPED, output))


def unit_tests() -> list[tuple[str, str]]:
    """Return each sample's services that have unit tests."""
    return [
        (name, service)
        for name in samples.NAMES
        for service, tests in samples.expected(name)["tests"].items()
        if tests.get("unit")
    ]


#: What their installation would provide, for samples whose unit tests import more than their folder.
IMPORTS = {("fieldnotes", "backend"): "libs/notescore/src"}


@pytest.mark.parametrize(("name", "service"), unit_tests())
def test_its_own_unit_tests_pass(
    name: str, service: str, repository: Callable[[str], Path]
) -> None:
    wanted = samples.expected(name)
    command: str = wanted["commands"][service]["unit"].removeprefix("uv run ")
    if command.startswith("npm") and not shutil.which("npm"):
        pytest.skip("npm is not installed")
    root = repository(name)
    folder = root / samples.complete(wanted["services"])[service]["path"]
    if (root / "package-lock.json").exists():
        # Only links the packages of the workspace.
        assert samples.run_tests("npm ci --offline", root).returncode == 0
    paths = [root / IMPORTS.get((name, service), "."), folder]
    done = samples.run_tests(command, folder, {"PYTHONPATH": ":".join(map(str, paths))})
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) == wanted["tests"][service]["unit"], done.stdout


@pytest.mark.parametrize("name", samples.NAMES)
def test_adoption_changes_no_existing_file_and_adds_valid_ones(
    name: str, repository: Callable[[str], Path], template_copy: Path
) -> None:
    root = repository(name)
    before = samples.snapshot(root)
    # In this process, where the template is compiled once for all samples.
    copier.run_copy(
        str(template_copy), root, defaults=True, overwrite=True, quiet=True, unsafe=True
    )
    after = samples.snapshot(root)
    assert {path: after.get(path) for path in before} == before
    assert ".copier-answers.yml" in after.keys() - before.keys()
    # Not even what git knows about them.
    assert samples.git("diff", "--stat", "HEAD", cwd=root) == ""
    check = subprocess.run(["scripts/check-compose.sh"], cwd=root, capture_output=True, text=True)
    assert (check.returncode, check.stderr) == (0, "")


@pytest.mark.parametrize("name", samples.NAMES)
def test_the_expected_services_are_valid_answers(name: str) -> None:
    wanted = samples.expected(name)
    resolved = resolved_services(name, wanted)
    # The ports of their compose file stay the ports on the developer's machine.
    for item in wanted["services"]:
        if "published" in item:
            assert resolved[item["name"]].port == item["published"]
    folder = samples.REPOSITORIES / name
    for service in resolved.values():
        assert (folder / service.context / (service.dockerfile or "Dockerfile")).is_file()
        assert (folder / service.home).is_dir()


def resolved_services(name: str, wanted: dict[str, Any]) -> dict[str, Service]:
    found = resolve(
        layout="multi",
        services=wanted["services"],
        service_kind="custom",
        database=wanted["database"],
        cache=wanted["cache"],
        project_slug=name,
        registry="ghcr.io/example",
    )
    return {service.name: service for service in found}


@pytest.mark.parametrize("name", samples.NAMES)
def test_every_expectation_is_of_a_service(name: str) -> None:
    wanted = samples.expected(name)
    names = samples.complete(wanted["services"]).keys()
    assert wanted["commands"].keys() == wanted["tests"].keys()
    assert names >= wanted["tests"].keys()
    assert names >= wanted.get("service_variables", {}).keys()
    compose = [
        yaml.safe_load(path.read_text("utf-8"))["services"]
        for path in (samples.REPOSITORIES / name).rglob("*compose.y*ml")
    ]
    images = {
        service: definition["image"]
        for services in compose
        for service, definition in services.items()
        if "build" not in definition
    }
    assert images.keys() == wanted["backing"].keys()
    for service, what in wanted["backing"].items():
        assert what in ("database", "cache", images[service])
