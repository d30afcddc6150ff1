# Kept by the template: copier update merges its changes into this file.
"""Turns the bytes of a line into plain text."""

from __future__ import annotations

import re

ESCAPE = re.compile(
    r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>]"
)


def plain(line: bytes) -> str:
    """Return a line as text, without escape sequences and trailing spaces."""
    text = line.decode(errors="replace")
    return (ESCAPE.sub("", text) if "\x1b" in text else text).rstrip()
