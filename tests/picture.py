"""Writes docs/images/: pictures of the live display and of a failed run.

The display code of the template draws them, from recorded events at fixed times, so that the files
change only when the display does.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from .conftest import ROOT

IMAGES = ROOT / "docs/images"
SCRIPTS = ROOT / "template/scripts"
COLUMNS, LINES = 80, 24

#: The time of each picture, on the clock that the runner reads.
NOW = 1000.0

#: A failure as plugins/pytest_events.py recorded it for a test of the example api.
FAILURE = {
    "type": "AssertionError",
    "message": "assert 200 == 201\n +  where 200 = <Response [200 OK]>.status_code",
    "path": "tests/unit/test_items.py",
    "line": 31,
    "excerpt": [
        ">   assert response.status_code == 201",
        "E   assert 200 == 201",
        "E    +  where 200 = <Response [200 OK]>.status_code",
    ],
    "captured": [],
}

#: The tests of the unit stage: the file, the names of the last tests, and the seconds of each test.
API = ("tests/unit/test_items.py::", ("test_create_item", "test_list_items"), 0.08)
WORKER = ("tests/unit/test_jobs.py::", ("test_retry_after_error", "test_give_up"), 0.11)
FRONTEND = ("src/items.test.ts > items > ", ("shows the new item", "shows an error"), 0.06)


@contextlib.contextmanager
def project() -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports a module of scripts/test_runner, of a project called shop."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "path", [*sys.path]):
        scripts = Path(shutil.copytree(SCRIPTS, Path(folder) / "scripts"))
        template = scripts / "test_runner/project.py.jinja"
        text = template.read_text().replace("{{ project_slug }}", "shop")
        template.with_suffix("").write_text(text.replace("{{ layout }}", "multi"))
        sys.path.insert(0, str(scripts))
        yield lambda name: import_module(f"test_runner.{name}")


class Stage:
    """Targets in a project, whose test tools have written some of their events."""

    def __init__(self, module: Callable[[str], ModuleType]) -> None:
        self.module, self.targets = module, module("targets")
        root: Path = module("project").ROOT
        self.folder = root / ".test-results/20260102-030405-6"
        self.folder.mkdir(parents=True, exist_ok=True)

    def target(self, stage: str, name: str, state: str, seconds: float) -> Any:
        """Return a target that has run, or has been running, for some seconds."""
        folder = f"services/{name}"
        again = f"make -C {folder} test-{stage}"
        target = self.targets.Target(stage, name, [], again=again, folder=folder)
        self.module("results").attach(target, self.folder)
        target.state = self.targets.State[state]
        if seconds:
            target.began = NOW - seconds
            target.ended = 0.0 if state == "RUNNING" else NOW
        return target

    def events(
        self,
        target: Any,
        tests: tuple[str, tuple[str, ...], float],
        *,
        total: int,
        done: int,
        failed: str = "",
    ) -> None:
        """Write the events of a test tool, and let the target read them."""
        prefix, names, seconds = tests
        tool = "vitest" if " > " in prefix else "pytest"
        earlier = [f"{prefix}test_{number}" for number in range(total - len(names))]
        ids = earlier + [f"{prefix}{name}" for name in names]
        lines: list[dict[str, Any]] = [{"event": "begin", "tool": tool, "xdist": False}]
        lines.append({"event": "total", "tests": total})
        for test in ids[:done]:
            bad = test.endswith(failed) if failed else False
            result = {"event": "result", "test": test, "phase": "call", "seconds": seconds}
            result |= {"outcome": "failed", "failure": FAILURE} if bad else {"outcome": "passed"}
            lines += [{"event": "start", "test": test}, result, {"event": "finish", "test": test}]
        if done < total:
            lines.append({"event": "start", "test": ids[done]})
        else:
            lines.append({"event": "end", "exit": int(bool(failed))})
        target.events.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        target.read()


def running(module: Callable[[str], ModuleType]) -> list[Text]:
    """Return the screen in the middle of the unit stage."""
    stage = Stage(module)
    api = stage.target("unit", "api", "PASSED", 2.1)
    stage.events(api, API, total=24, done=24)
    worker = stage.target("unit", "worker", "RUNNING", 2.4)
    stage.events(worker, WORKER, total=12, done=10)
    frontend = stage.target("unit", "frontend", "RUNNING", 2.4)
    stage.events(frontend, FRONTEND, total=36, done=34)
    later = [stage.target("service", name, "PENDING", 0) for name in ("api", "worker", "frontend")]
    full = stage.target("integration", "full", "PENDING", 0)
    return live(module, [api, worker, frontend, *later, full])


def failed(module: Callable[[str], ModuleType]) -> list[Text]:
    """Return the screen after a run whose unit tests have failed."""
    stage, report = Stage(module), module("report")
    api = stage.target("unit", "api", "FAILED", 2.3)
    stage.events(api, API, total=24, done=24, failed="test_create_item")
    module("target_state").set_state(api, 1)
    worker = stage.target("unit", "worker", "PASSED", 1.6)
    stage.events(worker, WORKER, total=12, done=12)
    frontend = stage.target("unit", "frontend", "PASSED", 3.0)
    stage.events(frontend, FRONTEND, total=36, done=36)
    later = [stage.target("service", name, "NOT_RUN", 0) for name in ("api", "worker", "frontend")]
    targets = [api, worker, frontend, *later, stage.target("integration", "full", "NOT_RUN", 0)]
    screen = live(module, targets)
    lines = report.failures([api], stage.folder, 0, 0)
    verdict, _ = report.verdict(targets)
    return [*screen, *(Text(line) for line in [*lines, f"{verdict} (3.4s)"])]


def live(module: Callable[[str], ModuleType], targets: list[Any]) -> list[Text]:
    """Return the live display of some targets."""
    # The display writes to the terminal that it finds, and asks for its size and its encoding.
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(terminal):
        display = module("display").Live(targets)
        display.console.size = (COLUMNS, LINES)
        text: Text = display.draw()
        display.close()
    return [text]


def picture(screen: list[Text], name: str) -> None:
    """Write a screen as an SVG file."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for text in [Text("$ make test"), *screen]:
        # A terminal breaks a long line at its edge, and rich would at a word.
        for line in text.split():
            for part in line.divide(range(COLUMNS, len(line), COLUMNS)):
                console.print(part, highlight=False)
    # Without the fonts, which browsers would load from another server.
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    # Some viewers drop the spaces at the start of a line otherwise.
    template = template.replace("<svg ", '<svg xml:space="preserve" ', 1)
    svg = console.export_svg(title="make test", code_format=template, unique_id=name)
    # Editors and linters remove spaces at the end of a line.
    lines = (line.rstrip() for line in svg.splitlines())
    (IMAGES / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Write all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with project() as module, mock.patch("time.monotonic", return_value=NOW):
        picture(running(module), "test-running")
        picture(failed(module), "test-failed")


if __name__ == "__main__":
    main()
