"""The check for words that we do not use: tests/words.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import words

WORDS = {"frob": "fix", "frobs": "fix", "sails away": "also works", "that is blue": "existing"}


@pytest.mark.parametrize(
    ("text", "found"),
    {
        "a word": ("To frob it.", [(1, "frob")]),
        "in capitals": ("Frobs\n", [(1, "frobs")]),
        "a phrase": ("one\ntwo sails away\n", [(2, "sails away")]),
        "over a line break": ("a file that is\nblue", [(1, "that is blue")]),
        "over a line break in a comment": ("# a file that\n    # is blue", [(1, "that is blue")]),
        "at the end of a sentence": ("It sails away.", [(1, "sails away")]),
        "a longer word": ("to unfrob, frobbing", []),
        "an identifier": ("to_frob = frob_it(frob())", []),
        "an attribute": ("self.frob", []),
        "an option": ("--frob", []),
        "a path": ("tests/frob.py frob/a.py", []),
        "in two paragraphs": ("that is\n\nblue", []),
    }.values(),
)
def test_what_is_found(text: str, found: list[tuple[int, str]]) -> None:
    assert [(line, word) for line, word, _ in words.find_words(text, WORDS)] == found


def test_only_comments_and_strings_of_python_count() -> None:
    code = 'frob = 1\ndef f():\n    """Frob."""\n    return {"frob": frob}  # to frob\n'
    found = words.find_words(words.without_code(code), WORDS)
    assert [line for line, _, _ in found] == [3, 4, 4]


def test_each_form_has_the_better_word() -> None:
    lines = ["# frob -> no entry", "", "frob, frobs -> fix", "sails away -> also works"]
    assert words.read_words(lines) == {"frob": "fix", "frobs": "fix", "sails away": "also works"}


def test_an_occurrence_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = words.read_words(words.LIST.read_text().splitlines())
    (tmp_path / "a.md").write_text(f"one\n{first} {second} it\n")
    (tmp_path / "b.md").write_text("two\n")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe " + first.encode())
    assert words.main([str(path) for path in sorted(tmp_path.iterdir())]) == 1
    found = capsys.readouterr().out.splitlines()
    assert [line.partition(" -> ")[0] for line in found] == [
        f"{tmp_path}/a.md:2: {first}",
        f"{tmp_path}/a.md:2: {second}",
    ]
    assert words.main([str(tmp_path / "b.md")]) == 0


def test_the_list_does_not_recommend_its_own_words() -> None:
    listed = words.read_words(words.LIST.read_text().splitlines())
    assert len(listed) > 50
    for better in listed.values():
        assert list(words.find_words(better, listed)) == []
