"""Renders versions of the template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import copier
import plumbum
import yaml
from answers_file import ANSWERS_FILE, dumped
from git_command import git


class Template:
    """The template's git repository, and a folder for what is made of it."""

    def __init__(self, folder: Path, source: str, work: Path) -> None:
        #: The template's git repository.
        self.folder = folder
        #: The address that the projects get as `_src_path`.
        self.source = source
        self.work = work

    def version(self, ref: str) -> str:
        """Return the version of a commit, in the form that Copier writes to the answers."""
        return git("describe", "--tags", "--always", ref, cwd=self.folder).decode().strip()

    def questions(self, ref: str) -> list[str]:
        """Return the names of the questions that a version asks."""
        settings = yaml.safe_load((self._exported(ref) / "copier.yml").read_text("utf-8"))
        return [
            key
            for key, question in settings.items()
            if not key.startswith("_") and question.get("when") is not False
        ]

    def render(
        self, name: str, ref: str, data: Mapping[str, Any], last: Mapping[str, Any] | None = None
    ) -> Path:
        """Render a version.

        Args:
            name: the name of the new folder in the work folder.
            ref: the version.
            data: the answers; what they lack is answered by `last`, or else by default.
            last: the answers of the last update. Copier replaces the invalid ones by the defaults.

        Returns:
            The folder of the rendered project.

        Raises:
            CopierError, ValueError: the version refuses the answers.
        """
        folder = self.work / name
        folder.mkdir()
        answers_file = folder / ANSWERS_FILE
        if last:
            answers_file.write_text(dumped(last), encoding="utf-8")
        # If Copier finds git, it starts git for every file, which doubles its time.
        with plumbum.local.env(PATH=""):
            copier.run_copy(
                str(self._exported(ref)),
                folder,
                data={key: value for key, value in data.items() if not key.startswith("_")},
                defaults=True,
                overwrite=True,
                quiet=True,
                skip_tasks=True,
                unsafe=True,
            )
        # Copier rendered an exported folder, so it does not know the real address and version.
        source = dumped({"_commit": self.version(ref), "_src_path": self.source})
        text = answers_file.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^_src_path: .*\n", lambda _: source, text, count=1)
        answers_file.write_text(text, encoding="utf-8")
        return folder

    def _exported(self, ref: str) -> Path:
        """Write the files of a version to a folder that is not a git repository, and return it."""
        folder = self.work / "versions" / ref
        if not folder.exists():
            folder.mkdir(parents=True)
            git(
                *(f"--work-tree={folder}", "-c", "core.autocrlf=false"),
                *("checkout", "--quiet", ref, "--", "."),
                cwd=self.folder,
                GIT_INDEX_FILE=f"{folder}.index",
            )
        return folder
