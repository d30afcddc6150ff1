"""What happens with a note. Knows nothing of HTTP or SQL."""

from notescore import parse, score


def record(line: str, repository) -> dict:
    note = parse(line)
    points = score(note, repository.seen(note.species))
    identifier = repository.save(note.species, note.count, note.remark, points)
    return {"id": identifier, "species": note.species, "score": points}
