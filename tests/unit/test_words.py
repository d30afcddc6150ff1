"""The check for words that we do not use: tests/words.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import words

WORDS = {"mend": "fix", "mends": "fix", "goes too": "also works", "that is there": "existing"}


@pytest.mark.parametrize(
    ("text", "found"),
    {
        "a word": ("To mend it.", [(1, "mend")]),
        "in capitals": ("Mends\n", [(1, "mends")]),
        "a phrase": ("one\ntwo goes too\n", [(2, "goes too")]),
        "over a line break": ("a file that is\nthere", [(1, "that is there")]),
        "over a line break in a comment": ("# a file that\n    # is there", [(1, "that is there")]),
        "at the end of a sentence": ("It goes too.", [(1, "goes too")]),
        "a longer word": ("to amend, mending", []),
        "an identifier": ("to_mend = mend_it(mend())", []),
        "an attribute": ("self.mend", []),
        "an option": ("--mend", []),
        "a path": ("tests/mend.py mend/a.py", []),
        "in two paragraphs": ("that is\n\nthere", []),
    }.values(),
)
def test_what_is_found(text: str, found: list[tuple[int, str]]) -> None:
    assert [(line, word) for line, word, _ in words.find_words(text, WORDS)] == found


def test_only_comments_and_strings_of_python_count() -> None:
    code = 'mend = 1\ndef f():\n    """Mend."""\n    return {"mend": mend}  # to mend\n'
    found = words.find_words(words.without_code(code), WORDS)
    assert [line for line, _, _ in found] == [3, 4, 4]


def test_each_form_has_the_better_word() -> None:
    lines = ["# mend -> no entry", "", "mend, mends -> fix", "goes too -> also works"]
    assert words.read_words(lines) == {"mend": "fix", "mends": "fix", "goes too": "also works"}


def test_an_occurrence_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("one\nnobody mends it\n")
    (tmp_path / "b.md").write_text("two\n")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe nobody")
    assert words.main([str(path) for path in sorted(tmp_path.iterdir())]) == 1
    found = capsys.readouterr().out.splitlines()
    assert [line.partition(" -> ")[0] for line in found] == [
        f"{tmp_path}/a.md:2: nobody",
        f"{tmp_path}/a.md:2: mends",
    ]
    assert words.main([str(tmp_path / "b.md")]) == 0


def test_the_list_does_not_recommend_its_own_words() -> None:
    listed = words.read_words(words.LIST.read_text().splitlines())
    assert len(listed) > 50
    for better in listed.values():
        assert list(words.find_words(better, listed)) == []
