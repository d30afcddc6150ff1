"""Repeats the lines of .gitignore, .gitattributes and CODEOWNERS for the new paths of what moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

#: The files, by whether their patterns are relative to the root of the project.
PATTERN_FILES = {".gitignore": False, ".gitattributes": False, "CODEOWNERS": True}


def with_moved_patterns(
    path: str, text: bytes, new_paths: Callable[[str], Iterable[str]], generated: bytes = b""
) -> bytes:
    """Return the text of such a file with a line for the new path after each line that needs one.

    Only patterns with a fixed place are repeated: with a slash at their start or in their middle.

    Args:
        path: the file.
        text: its text.
        new_paths: returns the new paths of a path.
        generated: the text that the template generated last. The merge updates its lines.
    """
    is_from_root = PATTERN_FILES[PurePosixPath(path).name]
    folder = "" if is_from_root else str(PurePosixPath(path).parent).removeprefix(".")
    prefix = f"{folder}/" if folder else ""
    lines = text.splitlines(keepends=True)
    stripped = {line.strip() for line in lines}
    skipped = {line.strip() for line in generated.splitlines()}
    found = []
    for line in lines:
        found.append(line if line.endswith(b"\n") or line is not lines[-1] else line + b"\n")
        if line.strip() in skipped:
            continue
        for new in moved_lines(line.decode(errors="surrogateescape").strip(), prefix, new_paths):
            encoded = new.encode(errors="surrogateescape")
            if encoded not in stripped:
                found.append(encoded + (b"\r\n" if line.endswith(b"\r\n") else b"\n"))
    return text if len(found) == len(lines) else b"".join(found)


def moved_lines(line: str, prefix: str, new_paths: Callable[[str], Iterable[str]]) -> list[str]:
    """Return a line for each new path of a line's pattern.

    Args:
        line: the line, without its end.
        prefix: the folder that its pattern is relative to, with a slash, or "".
        new_paths: returns the new paths of a path.
    """
    pattern, space, rest = line.partition(" ")
    if not pattern or pattern.startswith("#"):
        return []
    sign = "!" if pattern.startswith("!") else ""
    body = pattern.removeprefix("!")
    if "/" not in body.rstrip("/") or body.startswith("**/"):
        return []
    old = prefix + body.removeprefix("/")
    is_folder = old.endswith("/")
    found = []
    for new in new_paths(old if is_folder else f"{old}/"):
        target = new if is_folder else new.removesuffix("/")
        if target != old and target.startswith(prefix):
            found.append(f"{sign}/{target.removeprefix(prefix)}{space}{rest}")
    return found
