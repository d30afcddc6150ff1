"""The entries of the result cache on disk, and when the cache may be used."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def cache(runner: Callable[[str], ModuleType]) -> ModuleType:
    return runner("cache")


@pytest.fixture
def store(cache: ModuleType, tmp_path: Path) -> Any:
    return cache.Store(tmp_path / "cache")


def passed(cache: ModuleType, when: float = 0.0, checkout: str = "/home/me/shop") -> Any:
    return cache.Pass(when or time.time(), checkout, 1.5, 21, 20, "pytest")


def test_an_entry_is_read_as_it_was_written(cache: ModuleType, store: Any) -> None:
    entry = passed(cache)
    assert store.read("key") is None
    store.write("key", entry, parts={"a": "b"}, files={})
    found, content = store.read("key")
    assert (found, content["parts"]) == (entry, {"a": "b"})
    assert (store.folder.stat().st_mode & 0o777) == 0o700
    store.drop("key")
    assert store.read("key") is None


def test_an_entry_belongs_to_its_key(cache: ModuleType, store: Any) -> None:
    store.write("one", passed(cache))
    (store.folder / "one.pass").rename(store.folder / "two.pass")
    assert store.read("two") is None
    assert not (store.folder / "two.pass").exists()


def test_every_damage_of_an_entry_is_detected(cache: ModuleType, store: Any) -> None:
    store.write("key", passed(cache))
    path = store.folder / "key.pass"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            path.write_bytes(damaged)
            assert store.read("key") is None, damaged


@pytest.mark.parametrize("days", [-1, 8])
def test_an_entry_that_is_old_or_from_the_future_is_not_used(
    cache: ModuleType, store: Any, days: int
) -> None:
    store.write("key", passed(cache, time.time() - days * 24 * 3600))
    assert store.read("key") is None


def test_the_entries_that_were_used_longest_ago_are_deleted(
    cache: ModuleType, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "ENTRIES", 3)
    for number in range(3):
        store.write(str(number), passed(cache))
        os.utime(store.folder / f"{number}.pass", (number + 1000, number + 1000))
    assert store.read("0")
    store.write("3", passed(cache))
    names = sorted(path.stem for path in store.folder.glob("*.pass"))
    assert names == ["0", "2", "3"], "1 was used longest ago"
    monkeypatch.setattr(cache, "SIZE", 10)
    store.write("4", passed(cache))
    assert not list(store.folder.glob("*.pass"))


def test_several_writers_do_not_disturb_each_other(cache: ModuleType, store: Any) -> None:
    entry = passed(cache)

    def work(number: int) -> bool:
        store.write(f"key{number % 3}", entry, parts={"n": "x" * 10_000})
        found = store.read(f"key{number % 3}")
        return found is None or found[0] == entry

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))


def test_when_and_where_a_target_passed(cache: ModuleType) -> None:
    now = time.time()
    here = str(cache.ROOT)
    assert str(passed(cache, now, here)) == f"passed {time.strftime('%H:%M', time.localtime(now))}"
    other = str(passed(cache, now, str(Path(here).parent / "shop-feature-x")))
    assert other.endswith(" in ../shop-feature-x")
    assert " 2" in str(passed(cache, now - 3 * 24 * 3600, here)).replace(" 3", " 2").replace(
        " 1", " 2"
    ).replace(" 0", " 2"), "with the day of the month"


@pytest.mark.parametrize(
    ("env", "asked", "allowed"),
    [
        ({}, False, True),
        ({"CI": "false"}, False, True),
        ({"CI": "true"}, False, False),
        ({"GITHUB_ACTIONS": "true"}, False, False),
        ({"CI": "true"}, True, True),
        ({"ARGS": "-x"}, True, False),
        ({"TESTS": "a"}, True, False),
        ({"ARGS": "", "TESTS": ""}, False, True),
        ({"TEST_RESULT_CACHE": "off"}, True, False),
    ],
)
def test_when_the_cache_may_be_used(
    cache: ModuleType, env: dict[str, str], asked: bool, allowed: bool
) -> None:
    assert cache.allowed(asked=asked, env=env) is allowed


def test_the_difference_names_files_and_parts(cache: ModuleType) -> None:
    old = {
        "parts": {"tree .": "1", "tree services/api": "1", "image a": "1", "same": "1"},
        "files": {".": {"Makefile": "1"}, "services/api": {"a.py": "1", "b.py": "1"}},
    }
    new = {
        "parts": {"tree .": "2", "tree services/api": "2", "image a": "2", "same": "1"},
        "files": {".": {"Makefile": "1"}, "services/api": {"a.py": "2", "c.py": "1"}},
    }
    assert list(cache.difference(old, new)) == [
        "image a",
        "tree .",
        "services/api/a.py",
        "services/api/b.py",
        "services/api/c.py",
    ]
    assert list(cache.difference({}, new)) == []
