# Kept by the template: copier update merges its changes into this file.
"""Reads the error lines of make, which end the log of a recipe that failed."""

from __future__ import annotations

import re

from .text import plain

#: How many bytes at the end of a log are searched for the error lines of make.
MAKE_TAIL = 16_384

LINE = r"(?:\S*/)?g?make(?:\[(?P<level>\d+)\])?: (?P<words>.*)"
#: The word `Error` is localized by make, and the name of a signal comes from the system.
ERROR = r"\*\*\* \[.*\] (?:\S+ (?P<code>\d+)|(?P<signal>\D+?)(?: \(core dumped\))?)"
SIGNALS = {
    "Hangup": 1,
    "Interrupt": 2,
    "Quit": 3,
    "Illegal instruction": 4,
    "Aborted": 6,
    "Bus error": 7,
    "Floating point exception": 8,
    "Killed": 9,
    "Segmentation fault": 11,
    "Broken pipe": 13,
    "Terminated": 15,
}


def exit_code_behind_make(log: bytes) -> int | None:
    """Return the exit code of the recipe that failed: the exit code of make is always 2.

    The log ends with error lines, the innermost make first: `make[1]: *** [Makefile:3: test] Error
    5`. A signal counts as 128 plus its number. The result is None if the log does not end that way.
    """
    found: tuple[int, int] | None = None  # the level of make, and the exit code
    for line in reversed(log[-MAKE_TAIL:].splitlines()):
        text = plain(line)
        match = re.fullmatch(LINE, text)
        if text and not match:
            break
        if match and (error := re.fullmatch(ERROR, match["words"])):
            level = int(match["level"] or 0)
            signal = SIGNALS.get(error["signal"] or "")
            code = 128 + signal if signal else int(error["code"] or 0)
            if code and (found is None or level > found[0]):
                found = level, code
    return found[1] if found else None
