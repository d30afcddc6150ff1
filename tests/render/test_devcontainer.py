"""The development container."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft201909Validator

from .conftest import Project

#: From the specification of development containers (github.com/devcontainers/spec, MIT licence).
SCHEMA = Path(__file__).parent / "schemas/devContainer.base.schema.json"


@pytest.fixture(scope="module")
def schema() -> Draft201909Validator:
    return Draft201909Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def settings(root: Path) -> dict[str, Any]:
    """Read devcontainer.json, which may contain comments."""
    text = (root / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return found


def test_the_settings_follow_the_specification(
    project: Project, schema: Draft201909Validator
) -> None:
    found = settings(project.root)
    project.check([f"{error.json_path}: {error.message}" for error in schema.iter_errors(found)])
    assert (project.root / ".devcontainer" / found["build"]["dockerfile"]).is_file()


def test_a_wrong_setting_is_found(named_project: Project, schema: Draft201909Validator) -> None:
    found = settings(named_project.root) | {"postCreateCommand": 5}
    assert list(schema.iter_errors(found))
