"""backup.sh when the clock of the host is or was wrong, with programs that replace those of PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..conftest import ROOT

[SCRIPT] = (ROOT / "template/deploy/prod").glob("*/backup.sh")
PROGRAMS = {"pg_isready": "", "psql": "", "pg_dumpall": 'echo roles >"${2#--file=}"'}
FUTURE = "29991231T000000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of backups with one from the future."""
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    backup = tmp_path / "backups" / FUTURE
    backup.mkdir(parents=True)
    (backup / "MANIFEST").write_text("backup 1 32503593600\nend 0\n")
    return tmp_path / "backups"


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder.parent}:{os.environ['PATH']}"
    return {"PATH": path, "BACKUP_FOLDER": str(folder), "PGHOST": "database"}


def backup(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", SCRIPT, *arguments], capture_output=True, text=True, env=environment(folder)
    )  # fmt: skip


def test_a_backup_from_the_future_is_reported(folder: Path) -> None:
    done = backup(folder, "check")
    assert done.returncode == 1
    assert f"{FUTURE} is in the future" in done.stderr
    assert backup(folder, "verify", "latest").stdout == f"backup: {FUTURE} is complete\n"
    assert backup(folder, "now").returncode == 0
    assert FUTURE not in backup(folder, "verify", "latest").stdout


def test_a_backup_from_the_future_does_not_stop_new_ones(folder: Path) -> None:
    (folder / ".last").write_text(f"failed {int(time.time()) + 90_000} no reason\n")
    process = subprocess.Popen(
        ["sh", SCRIPT, "schedule"],
        stdout=subprocess.DEVNULL,
        env=environment(folder),
        start_new_session=True,
    )
    try:
        for _ in range(300):
            if len(list(folder.glob("2*Z/MANIFEST"))) == 2:
                break
            time.sleep(0.1)
        assert len(list(folder.glob("2*Z/MANIFEST"))) == 2
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
