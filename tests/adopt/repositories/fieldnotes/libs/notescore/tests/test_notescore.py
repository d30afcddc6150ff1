import pytest

from notescore import Note, parse, score


def test_parse_count_and_remark():
    assert parse("3 Parus major: feeding") == Note("Parus major", 3, "feeding")


def test_parse_species_only():
    assert parse("Erithacus rubecula") == Note("Erithacus rubecula", 1, "")


def test_parse_nothing():
    with pytest.raises(ValueError, match="no species"):
        parse("4 : what was it?")


def test_rare_species_score_higher():
    note = parse("Upupa epops")
    assert score(note, 0) > score(note, 10)
