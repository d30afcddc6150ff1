"""Runs template.py, its merge and Copier in forks of a process that has imported Copier.

Most of the time of a small update is the start of uv, Python and Copier. As a program, this reads a
request in each line, and answers with the exit code. What a script prints is in the file that the
request names.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

#: What the scripts import, beside the standard library.
IMPORTED = ("copier", "copier_template_extensions", "jinja2_time", "packaging.version", "yaml")

#: How template.py starts a merge, after the name of uv.
MERGE = ("run", "--quiet", "--no-project", "--script")


class Fork:
    """A script in a fork of this process. It has what template.py uses of `subprocess.Popen`."""

    def __init__(self, script: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.pid = os.fork()
        if not self.pid:
            become(script, arguments, env)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def wait(self) -> int:
        """Return the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def become(script: str, arguments: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Run a script, or a module with this name, in this process as Python would."""
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    code: Any = 0
    try:
        run = runpy.run_path if os.sep in script else runpy.run_module
        run(script, run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 as Python does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


def fork_merges() -> None:
    """Let template.py start its merge in a fork."""
    start = subprocess.Popen

    def popen(command: Any, **options: Any) -> Any:
        if tuple(command[1:5]) != MERGE:
            return start(command, **options)
        return Fork(command[5], command[6:], options["env"])

    subprocess.Popen = popen  # type: ignore[assignment, misc]


def serve() -> None:
    """Answer the requests until there are none."""
    for module in IMPORTED:
        importlib.import_module(module)
    fork_merges()
    for line in sys.stdin:
        request = json.loads(line)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(output, number)
        os.chdir(request["folder"])
        code = Fork(request["script"], request["arguments"], request["env"]).wait()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
        os.close(output)
        os.chdir("/")
        print(code, flush=True)


@cache
def server() -> subprocess.Popen[str]:
    """Return the program of this module, which runs until this process ends."""
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run(
    script: str, arguments: Sequence[str], folder: Path, env: Mapping[str, str]
) -> tuple[int, str]:
    """Run a script, or a module, in a folder. Return its exit code, and its output with stderr."""
    process = server()
    assert process.stdin
    assert process.stdout
    with tempfile.NamedTemporaryFile() as output:
        request = {
            "script": script,
            "arguments": [*arguments],
            "folder": str(folder),
            "env": dict(env),
            "output": output.name,
        }
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        return code, output.read().decode(errors="replace")


def end() -> None:
    """End the program."""
    if server.cache_info().currsize:
        server().communicate()


if __name__ == "__main__":
    serve()
