"""Lets Copier work things out once in the programs that a test starts, too.

With this folder in PYTHONPATH, Python imports this module when it starts. It imports nothing that
Python has not imported anyway, as most programs do not import Copier.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class AfterCopier:
    """Changes Copier as soon as it is imported."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Return how Copier's main module is imported, and None for the other modules."""
        if name != "copier._main":
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            change_copier()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def change_copier() -> None:
    """Use tests/once.py, unless this is another version of Copier than the one of the tests."""
    from importlib.metadata import version
    from importlib.util import module_from_spec, spec_from_file_location

    folder = os.environ["COPIER_ONCE"]
    if os.path.basename(folder) != version("copier"):  # noqa: PTH119
        return
    path = os.path.join(os.path.dirname(__file__), os.pardir, "once.py")  # noqa: PTH118, PTH120
    spec = spec_from_file_location("once", path)
    assert spec is not None and spec.loader is not None
    once = module_from_spec(spec)
    spec.loader.exec_module(once)
    once.compile_once(setattr, once.Path(folder))
    once.work_out_once(setattr)


if "COPIER_ONCE" in os.environ:
    sys.meta_path.insert(0, AfterCopier())
