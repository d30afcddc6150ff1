"""Loads Python files of this version of the template, which belong to no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TEMPLATE = Path(__file__).parent.parent


def load(path: str) -> ModuleType:
    """Return a file of the template as a module; the path starts at the template's root."""
    spec = importlib.util.spec_from_file_location(f"template_{Path(path).stem}", TEMPLATE / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Data classes look up their own module there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
