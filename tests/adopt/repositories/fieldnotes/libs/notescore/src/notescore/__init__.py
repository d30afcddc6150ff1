"""How field notes are parsed and ranked."""

from dataclasses import dataclass

__all__ = ["Note", "parse", "score"]


@dataclass(frozen=True)
class Note:
    species: str
    count: int
    remark: str


def parse(line: str) -> Note:
    """Parse `3 Parus major: feeding` or `Parus major`."""
    head, _, remark = line.partition(":")
    words = head.split()
    count = int(words.pop(0)) if words and words[0].isdigit() else 1
    if not words:
        raise ValueError("no species")
    return Note(" ".join(words), count, remark.strip())


def score(note: Note, seen_before: int) -> float:
    """Rare species score high, remarks help a little."""
    return round(note.count / (1 + seen_before) + (0.1 if note.remark else 0), 2)
