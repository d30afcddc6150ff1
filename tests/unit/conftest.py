"""What the unit tests share: the service list as the extension resolves it, the runner's modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def extension(load: Callable[[str], ModuleType]) -> ModuleType:
    """Return extensions/services.py as a module."""
    return load("extensions/services.py")


@pytest.fixture(scope="session")
def resolve(extension: ModuleType) -> Callable[..., dict[str, Any]]:
    """Return the function that resolves a service list; what is not given is as by default."""
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
        found = extension.resolve(**defaults | {"services": services} | answers)
        return {service.name: service for service in found}

    return resolved


@pytest.fixture(scope="session")
def runner(render: Callable[..., Path]) -> Iterator[Callable[[str], ModuleType]]:
    """Return the function that imports a module of scripts/test_runner, of a project called shop."""
    scripts = render({"project_slug": "shop", "services": "api"}) / "scripts"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scripts)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield lambda name: import_module(f"test_runner.{name}")
