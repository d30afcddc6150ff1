import pytest

from app.service import record


class FakeRepository:
    def __init__(self, seen=0):
        self.times, self.saved = seen, []

    def seen(self, species):
        return self.times

    def save(self, *values):
        self.saved.append(values)
        return len(self.saved)


def test_first_sighting():
    assert record("2 Upupa epops", FakeRepository()) == {"id": 1, "species": "Upupa epops", "score": 2.0}


def test_score_falls_with_sightings():
    assert record("2 Upupa epops", FakeRepository(seen=3))["score"] == 0.5


def test_empty_line_is_not_saved():
    repository = FakeRepository()
    with pytest.raises(ValueError):
        record("", repository)
    assert repository.saved == []
