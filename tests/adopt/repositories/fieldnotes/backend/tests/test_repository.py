"""Against a real database, see app/config.py for its address."""

import uuid

import pytest

repository = pytest.importorskip("app.repository")


@pytest.fixture(scope="module", autouse=True)
def database():
    try:
        repository.create_table()
    except Exception as error:
        pytest.skip(f"no database: {error}")


def test_saved_notes_are_seen():
    species = uuid.uuid4().hex
    assert repository.seen(species) == 0
    repository.save(species, 1, "", 0.5)
    assert repository.seen(species) == 1
