# Kept by the template: copier update merges its changes into this file.
"""Changes that `--fix` makes. Only the replaced characters change, so comments stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from .model import Edit, Finding


def apply(root: Path, findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Make the changes of findings, and yield each changed finding with a line that reports it."""
    by_file: dict[str, list[tuple[Edit, Finding]]] = defaultdict(list)
    for finding in findings:
        if finding.edit:
            by_file[finding.edit.path].append((finding.edit, finding))
    for name, edits in by_file.items():
        path = root / name
        if edits[0][0].line == 0:
            if not path.exists():
                path.write_text(edits[0][0].new, encoding="utf-8")
                yield edits[0][1], f"{name}: created"
            continue
        # Without translation of line ends, so that a file with CRLF keeps them.
        content = path.read_bytes().decode("utf-8")
        lines = content.splitlines(keepends=True)
        done = []
        for edit, finding in sorted(edits, key=lambda x: (x[0].line, x[0].column), reverse=True):
            line = lines[edit.line - 1]
            start = line.find(edit.old, edit.column)
            # A quote may precede the text. An alias or a folded text is somewhere else.
            if start < 0 or start - edit.column > 1:
                continue
            quoted = start > edit.column
            new = edit.new if quoted else f'"{edit.new}"'
            lines[edit.line - 1] = line[:start] + new + line[start + len(edit.old) :]
            done.append((finding, f"{name}:{edit.line}: {edit.old} -> {edit.new}"))
        if done:
            path.write_bytes("".join(lines).encode("utf-8"))
            yield from reversed(done)
