"""Find the words of words.txt in files, so that texts stay in plain English.

`python tests/words.py FILE…` prints a line for each occurrence, `file:line: word -> better words`,
and exits with 1 if there is one. codespell only knows single words, but most entries are phrases.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

LIST = Path(__file__).with_suffix(".txt")

#: A space in a phrase: white space, including a line break that a comment's marker follows.
SPACE = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:(?:#:?|//|\*|--|>)[ \t]+)?)"


def read_words(lines: Iterable[str]) -> dict[str, str]:
    """Return the better words for each word in lines such as `old, older -> new`."""
    words: dict[str, str] = {}
    for line in lines:
        forms, arrow, better = line.partition(" -> ")
        if arrow and not line.startswith("#"):
            words |= dict.fromkeys(forms.split(", "), better.strip())
    return words


def find_words(text: str, words: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yield the line number of each occurrence, the word, and the better words.

    Parts of identifiers, paths and options are ignored, as in `to_old`, `a/old.py` or `--old`.
    """
    # The longest form comes first: `in a nutshell` before `in a`.
    forms = sorted(words, key=len, reverse=True)
    patterns = "|".join(re.escape(form).replace(r"\ ", SPACE) for form in forms)
    for found in re.finditer(
        rf"(?<![\w./{{-])(?:{patterns})(?![\w(=-]|\.\w|/)", text, re.IGNORECASE
    ):
        parts = [part for part in found[0].split() if not re.fullmatch(r"#:?|//|\*|--|>", part)]
        word = " ".join(parts).lower()
        yield text.count("\n", 0, found.start()) + 1, word, words[word]


def without_code(text: str) -> str:
    """Return Python code with spaces in place of everything but comments and strings."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    # From Python 3.12 on, an f-string is several tokens. Python 3.11 does not know their type.
    kept = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    result, end = "", 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kept:
            start = starts[token.start[0] - 1] + token.start[1]
            result += re.sub(r"\S", " ", text[end:start])
            end = starts[token.end[0] - 1] + token.end[1]
            result += text[start:end]
    return result


def main(names: list[str]) -> int:
    """Check files. Files that are not UTF-8 text are skipped."""
    words = read_words(LIST.read_text(encoding="utf-8").splitlines())
    count = 0
    for name in names:
        if Path(name).resolve() == LIST:
            continue
        try:
            text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if name.endswith(".py") or re.match("#!.*python", text):
            text = without_code(text)
        for line, word, better in find_words(text, words):
            print(f"{name}:{line}: {word} -> {better}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
