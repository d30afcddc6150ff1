"""Fixtures of the unit tests: modules under test, and the resolved service list."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from extensions import services as service_answers

from ..conftest import ROOT

Migration = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def migration() -> Migration:
    """Return a function that imports a module of migrations/. The modules import each other by name."""

    def loaded(name: str) -> ModuleType:
        sys.path.insert(0, str(ROOT / "migrations"))
        try:
            return importlib.import_module(name)
        finally:
            sys.path.pop(0)

    return loaded


@pytest.fixture(scope="session")
def resolve() -> Callable[..., dict[str, Any]]:
    """Return a function that resolves a service list. Omitted answers have their defaults."""
    defaults = {
        "layout": "multi",
        "services": "api, worker, frontend",
        "service_kind": "python-api",
        "database": "postgres",
        "cache": "redis",
        "project_slug": "shop",
        "registry": "ghcr.io/my-org",
    }

    def resolved(services: Any = defaults["services"], **answers: str) -> dict[str, Any]:
        found = service_answers.resolve(**defaults | {"services": services} | answers)
        return {service.name: service for service in found}

    return resolved
