"""Loads this folder as a package, under a different name for each copy of the template.

Copier loads an extension by its path, outside any package, so a relative import would fail. Under
a fixed name, an update would also mix versions: it loads two copies of the template into one process,
and the second would get the modules of the first from `sys.modules`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .questions import ServicesExtension
else:
    folder = Path(__file__).resolve().parent
    name = f"template_extensions_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    ServicesExtension = importlib.import_module(f"{name}.questions").ServicesExtension

__all__ = ["ServicesExtension"]
