# Kept by the template: copier update merges its changes into this file.
"""Dockerfiles as stages and instructions that know their lines."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z_]\w*)[\"']?")
FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-+]([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Instruction:
    """One instruction. `value` has neither flags nor line breaks."""

    line: int
    name: str  #: in upper case
    value: str
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def exec_form(self) -> list[str] | None:
        """The arguments if the value is in exec form, such as ["a", "b"]."""
        if not self.value.startswith("["):
            return None
        try:
            found = json.loads(self.value)
        except ValueError:
            return None
        return [str(word) for word in found] if isinstance(found, list) else None

    @property
    def words(self) -> list[str]:
        """The value's words, in either form."""
        return self.exec_form or self.value.split()


@dataclass
class Stage:
    """One stage of a build."""

    line: int
    base: str  #: with its variables replaced by their defaults; contains `$` if one has none
    name: str
    parent: Stage | None  #: the stage that this one starts from
    own: list[Instruction] = field(default_factory=list)

    @property
    def instructions(self) -> list[Instruction]:
        """The instructions of the stage and of the stages that it starts from, in order."""
        return [*(self.parent.instructions if self.parent else ()), *self.own]

    @property
    def image(self) -> str:
        """The image that the first of these stages starts from."""
        return self.parent.image if self.parent else self.base

    def last(self, name: str) -> Instruction | None:
        """Return the instruction that has the last word, such as USER."""
        found = [item for item in self.instructions if item.name == name]
        return found[-1] if found else None

    def every(self, *names: str) -> Iterator[Instruction]:
        """Yield the instructions with one of these names."""
        return (item for item in self.instructions if item.name in names)


@dataclass
class Dockerfile:
    """A Dockerfile."""

    text: str
    stages: list[Stage]

    def stage(self, target: str = "") -> Stage | None:
        """Return the stage with a name, or the last one."""
        if target:
            return next((s for s in self.stages if s.name.lower() == target.lower()), None)
        return self.stages[-1] if self.stages else None


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each instruction with its first line. Comments, and heredocs after it, are left out."""
    escape = "`" if re.match(r"(?:\s*#.*\n)*?\s*#\s*escape\s*=\s*`", text) else "\\"
    pending, start, ends = "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        if line.lstrip().startswith("#") or not (line.strip() or not pending):
            continue
        start = start if pending else number
        stripped = line.rstrip()
        if stripped.endswith(escape):
            pending += stripped[:-1] + " "
            continue
        pending += stripped
        if pending.strip():
            yield start, pending.strip()
            if re.match(r"(?i)\s*(RUN|COPY|ADD)\b", pending):
                ends = HEREDOC.findall(pending)
        pending = ""
    if pending.strip():
        yield start, pending.strip()


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Dockerfile:
    """Read a Dockerfile. Do not change the result: it is shared."""
    stages: list[Stage] = []
    defaults: dict[str, str] = {}
    for line, content in logical_lines(text):
        name, _, value = content.partition(" ")
        value, flags = value.strip(), dict[str, str]()
        while match := FLAG.match(value):
            flags[match[1]] = match[2] or ""
            value = value[match.end() :]
        item = Instruction(line, name.upper(), re.sub(r"\s+", " ", value), flags)
        if item.name == "FROM":
            base, _, alias = re.sub(r"(?i)\s+as\s+", "\0", item.value).partition("\0")
            base = with_defaults(base.strip(), defaults)
            parent = next((s for s in stages if s.name and s.name == base.lower()), None)
            stages.append(Stage(line, base, alias.strip().lower(), parent))
        elif stages:
            stages[-1].own.append(item)
        elif item.name == "ARG" and "=" in item.value:
            key, _, default = item.value.partition("=")
            defaults[key.strip()] = with_defaults(default.strip().strip("\"'"), defaults)
    return Dockerfile(text, stages)


def with_defaults(text: str, defaults: dict[str, str]) -> str:
    """Replace the variables that have a default."""

    def replace(match: re.Match[str]) -> str:
        return defaults.get(match[1] or match[3]) or match[2] or match[0]

    return VARIABLE.sub(replace, text.strip("\"'"))
