"""Docker Compose accepts every compose file. This needs no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Project
from .contracts import compose_files, env_example

#: Values for the required variables of prod, by the end of the name.
FILLED_IN = {"VERSION": "1.2.3", "_DIR": "/srv/data"}

pytestmark = pytest.mark.programs


@pytest.fixture(scope="session", autouse=True)
def compose_cli() -> None:
    try:
        done = subprocess.run(["docker", "compose", "version"], capture_output=True)
        missing = done.returncode != 0
    except OSError:
        missing = True
    if missing:
        reason = "there is no `docker compose`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def config(
    folder: Path, env_file: Path | str = os.devnull, **env: str
) -> tuple[dict[str, Any], str]:
    """Return the configuration that Compose reads in a folder, and its error output."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "DOCKER_CONFIG")}
    command = ["docker", "compose", "--env-file", str(env_file), "config", "--format=json"]
    done = subprocess.run(command, cwd=folder, env=kept | env, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}, done.stderr.strip()


def required(folder: Path) -> dict[str, str]:
    """Return a value for each variable that prod requires."""
    return {
        variable.name: next(v for end, v in FILLED_IN.items() if variable.name.endswith(end))
        for variable in env_example(folder / ".env.example")
        if not variable.value and not variable.commented
    }


def filled_in(folder: Path, to: Path, **values: str) -> Path:
    """Fill in an .env.example as a user does."""
    lines = (folder / ".env.example").read_text(encoding="utf-8").splitlines()
    for name, value in values.items():
        lines[lines.index(f"{name}=")] = f"{name}={value}"
    to.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return to


def test_compose_accepts_every_file_without_a_warning(
    varied_project: Project, tmp_path: Path
) -> None:
    problems = []
    for compose in compose_files(varied_project.root):
        folder = compose.path.parent
        if compose.environment == "dev":
            found, errors = config(folder, folder / ".env.example")
        elif compose.environment == "test":
            found, errors = config(folder, TEST_INSTANCE_ID="main-0a1b2c")
        else:
            found, errors = config(folder, filled_in(folder, tmp_path / "env", **required(folder)))
        slug = varied_project.answers.get("project_slug", "my-project")
        names = {
            "dev": f"{slug}-dev",
            "test": f"{slug}-test-main-0a1b2c-{compose.scope}",
            "prod": slug,
        }
        if errors or found.get("name") != names[compose.environment]:
            problems.append(f"{compose.name}: {found.get('name')} {errors}")
    varied_project.check(problems)


def test_the_example_file_has_the_defaults_of_dev(named_project: Project) -> None:
    folder = named_project.root / "deploy/dev"
    assert config(folder) == config(folder, folder / ".env.example")


def test_a_test_stack_needs_its_instance(named_project: Project) -> None:
    _, errors = config(named_project.root / "deploy/test")
    assert "TEST_INSTANCE_ID" in errors and "scripts/stack.py" in errors


def test_compose_accepts_the_file_of_make_build(named_project: Project) -> None:
    files = {"COMPOSE_FILE": "docker-compose.build.yml"}
    found, errors = config(named_project.root / "deploy/prod", VERSION="1.2.3", **files)
    assert errors == ""
    assert all(service["image"].endswith(":1.2.3") for service in found["services"].values())


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    # The variables of the shell do not decide.
    env = os.environ | {"COMPOSE_FILE": "gone.yml", "VERSION": ""}
    command = ["make", "lint-compose"]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)


def test_lint_accepts_the_compose_files(varied_project: Project) -> None:
    done = lint(varied_project.root)
    varied_project.check([done.stderr] if done.returncode else [])


@pytest.mark.parametrize("folder", ["deploy/prod", "services/api/deploy/test"])
@pytest.mark.parametrize("change", [("services:", "services: ["), ("image: ", "picture: ")])
def test_lint_finds_a_broken_compose_file(
    render: Callable[..., Path], tmp_path: Path, folder: str, change: tuple[str, str]
) -> None:
    root = Path(shutil.copytree(render({"services": "api"}), tmp_path / "project"))
    file = root / folder / "docker-compose.yml"
    file.write_text(file.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")

    done = lint(root)

    assert done.returncode != 0
    assert f"{folder}/docker-compose.yml: Docker Compose refuses it" in done.stderr


def test_names_that_are_no_text_in_yaml_stay_text(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    service = {"name": "api", "kind": "custom", "target": "1.0", "aliases": ["null", "1e3"]}
    root = render({"services": [service]})
    found, errors = config(root / "deploy/dev")
    assert errors == ""
    assert found["services"]["api"]["build"]["target"] == "1.0"
    assert set(found["services"]["api"]["networks"]["default"]["aliases"]) == {"null", "1e3"}


def test_prod_runs_the_released_images(named_project: Project, tmp_path: Path) -> None:
    folder = named_project.root / "deploy/prod"
    found, _ = config(folder, filled_in(folder, tmp_path / "env", **required(folder)))
    released = {s["image"] for s in found["services"].values() if s["image"].endswith(":1.2.3")}
    assert released
    assert all(image.startswith("ghcr.io/my-org/my-project") for image in released)


def test_prod_does_not_start_without_a_required_variable(
    named_project: Project, tmp_path: Path
) -> None:
    folder = named_project.root / "deploy/prod"
    values = required(folder)
    assert "VERSION" in values
    problems = []
    for missing in values:
        given = {name: value for name, value in values.items() if name != missing}
        found, errors = config(folder, filled_in(folder, tmp_path / "env", **given))
        if found or missing not in errors or "set it in .env" not in errors:
            problems.append(f"without {missing}: {errors or 'starts'}")
    named_project.check(problems)
