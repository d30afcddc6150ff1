"""An update that is stopped at any point: the project is as before, or one command restores it.

A script replaces git. At the chosen git command it sends a signal to the whole process group, as a
terminal does for Ctrl-C.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..e2e.conftest import clean_environment
from .conftest import NEXT, NEXT_FILE, NEXT_LINES, OLD, SCRIPT, Generate, Project

#: The points to stop at: a word of the git command that is about to run, and what is done by then.
POINTS = {
    "clone": "nothing but checks",
    "checkout": "the template is fetched",
    "hash-object": "a version is rendered",
    "update-index": "the result is known",
    "checkout-index": "half of the files are checked out to a folder in the git directory",
    "--stat=100": "everything is written, and the report begins",
}

STOPPING_GIT = """\
#!/bin/bash
trap '' INT TERM
if [[ " $* " == *" $POINT "* && ! -e $REACHED ]]; then
  touch "$REACHED"
  if [[ $POINT == checkout-index ]]; then
    cat >"$REACHED.paths"
    count=$(tr -cd '\\0' <"$REACHED.paths" | wc -c)
    head -z -n $((count / 2)) "$REACHED.paths" | "$REAL" "$@"
    [[ $SIGNAL == KILL ]] || "$REAL" "$@" <"$REACHED.paths"
    kill -s "$SIGNAL" 0
    exit
  fi
  kill -s "$SIGNAL" 0
fi
exec "$REAL" "$@"
"""

#: Adds a custom service, removes another one, and has a conflict in one line.
ARGUMENTS = ("update", f"--version={NEXT}", "--data=services=api, billing:custom")


@pytest.fixture
def project(generate: Generate) -> Project:
    made = generate(services="api, engine:custom", database="none", version=OLD[0])
    text = made.read(NEXT_FILE)
    made.write(NEXT_FILE, text.replace(NEXT_LINES[0], "indent_size = 8\n"))
    made.append("services/api/api/main.py", "# mine\n")
    made.commit()
    # Ignored files, which no commit can restore.
    made.write("deploy/dev/.env", "API_PORT=1\n")
    made.write("services/engine/.venv/own.txt", "mine\n")
    return made


def started(project: Project, folder: Path, point: str, name: str) -> subprocess.Popen[str]:
    """Start an update in its own process group, with the script that replaces git."""
    (folder / "bin").mkdir()
    (folder / "tmp").mkdir()
    script = folder / "bin/git"
    script.write_text(STOPPING_GIT)
    script.chmod(0o755)
    real = shutil.which("git")
    assert real
    env = clean_environment(
        POINT=point, SIGNAL=name, REAL=real, REACHED=str(folder / "reached"),
        TMPDIR=str(folder / "tmp"),
    )  # fmt: skip
    return subprocess.Popen(
        ["uv", "run", "--quiet", "--script", str(SCRIPT), *ARGUMENTS],
        cwd=project.root, env=env | {"PATH": f"{folder / 'bin'}{os.pathsep}{env['PATH']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_the_end(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=120)[0]
    deadline = time.monotonic() + 10
    while is_running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(process.pid)
    return output


@pytest.mark.parametrize("point", [point for point in POINTS if point != "--stat=100"])
def test_ctrl_c_leaves_everything_as_it_was(point: str, project: Project, tmp_path: Path) -> None:
    before = project.files()
    process = started(project, tmp_path, point, "INT")
    output = wait_for_the_end(process)
    assert (tmp_path / "reached").exists()
    assert process.returncode == 130, output
    assert output.splitlines()[-1].endswith("nterrupted; nothing was changed")
    assert "Traceback" not in output
    assert project.files() == before
    assert project.status() == []
    assert list((tmp_path / "tmp").glob("template-*")) == []


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_the_printed_command_restores_everything(
    point: str, project: Project, tmp_path: Path
) -> None:
    before, head = project.files(), project.git("rev-parse", "HEAD")
    process = started(project, tmp_path, point, "KILL")
    output = wait_for_the_end(process)
    assert (tmp_path / "reached").exists()
    assert process.returncode == -signal.SIGKILL
    written = project.files()
    assert (written != before) == (point == "--stat=100")
    command = re.search(r"If the update is killed, run: (.*)$", output, re.MULTILINE)
    assert bool(command) == (point == "--stat=100")
    if command:
        subprocess.run(
            ["bash", "-c", command[1]], cwd=project.root, check=True, capture_output=True
        )
    assert project.files() == before
    assert project.status() == []
    assert project.git("rev-parse", "HEAD") == head
    if point == "checkout-index":  # A later update works, too.
        project.template(*ARGUMENTS, code=1)
        assert project.status()


def test_sigterm_to_the_script_alone_ends_the_merge_too(project: Project, tmp_path: Path) -> None:
    before = project.files()
    process = started(project, tmp_path, "none", "TERM")
    assert process.stdout
    process.stdout.readline()
    for _ in range(600):
        if any((tmp_path / "tmp").glob("template-*/template-*/base")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output = wait_for_the_end(process)
    assert process.returncode == 130, output
    assert project.files() == before
    assert project.status() == []
    assert list((tmp_path / "tmp").glob("template-*")) == []


def test_a_full_disk_at_the_end_changes_nothing(project: Project, tmp_path: Path) -> None:
    """Instead of a full disk, a script makes git fail in the middle of writing the files."""
    before = project.files()
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/git"
    script.write_text(
        "#!/bin/bash\n"
        'if [[ " $* " == *" checkout-index "* ]]; then\n'
        '  head -z -n 3 | "$REAL" "$@"\n'
        "  echo 'error: unable to write file: No space left on device' >&2\n"
        "  exit 128\n"
        "fi\n"
        'exec "$REAL" "$@"\n'
    )
    script.chmod(0o755)
    real = shutil.which("git")
    assert real
    path = f"{tmp_path / 'bin'}{os.pathsep}{clean_environment()['PATH']}"
    output = project.template(*ARGUMENTS, code=3, PATH=path, REAL=real)
    assert "No space left on device; nothing was changed" in output
    assert project.files() == before
    assert project.status() == []
