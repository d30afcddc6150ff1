"""A renamed package in the Python files that import it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from types import ModuleType

import pytest

from .conftest import Migration

CASES = {
    "imports": (
        """
        import os, api
        import api.settings as settings
        from api import main
        from  api.deep import (
            one)
        """,
        """
        import os, sales
        import sales.settings as settings
        from sales import main
        from  sales.deep import (
            one)
        """,
    ),
    "names": (
        """
        import api.settings
        assert api
        print(api.settings.x, f"{api.y} api.z", é, api.z)
        """,
        """
        import sales.settings
        assert sales
        print(sales.settings.x, f"{sales.y} api.z", é, sales.z)
        """,
    ),
    "strings and comments": (
        """
        '''Say
        import api
        from api import x
        '''
        import api  # api.x
        URL = "https://api.example.com/v1"
        """,
        """
        '''Say
        import api
        from api import x
        '''
        import sales  # api.x
        URL = "https://api.example.com/v1"
        """,
    ),
    "other uses of the name": (
        """
        import api
        from .api import x
        from apis import y
        import other.api
        call(api=x.api)
        def f(api): return api.x
        """,
        """
        import sales
        from .api import x
        from apis import y
        import other.api
        call(api=x.api)
        def f(api): return api.x
        """,
    ),
    "a variable": ("from x import api\napi.y", "from x import api\napi.y"),
    "not Python": ("import api\nprint 1\n", "import api\nprint 1\n"),
}


@pytest.fixture(scope="session")
def rename(migration: Migration) -> Callable[[bytes, str, str], bytes]:
    """Return the function of migrations/python_imports.py."""
    module: ModuleType = migration("python_imports")
    function: Callable[[bytes, str, str], bytes] = module.with_renamed_package
    return function


@pytest.mark.parametrize("case", CASES)
def test_only_names_change(rename: Callable[[bytes, str, str], bytes], case: str) -> None:
    before, after = (textwrap.dedent(text) for text in CASES[case])
    assert rename(before.encode(), "api", "sales").decode() == after


@pytest.mark.parametrize(
    ("head", "encoding"),
    [("", "utf-8-sig"), ("# -*- coding: latin-1 -*-\n", "latin-1"), ("", "utf-8")],
)
def test_a_byte_order_mark_or_a_coding_cookie_moves_no_column(
    head: str, encoding: str, migration: Migration
) -> None:
    text = head + 'import old.part; word = "café"; old.part.run("é"); old.other()\n'
    renamed = migration("python_imports").with_renamed_package(text.encode(encoding), "old", "new")
    assert renamed == text.replace("old.", "new.").encode(encoding)
