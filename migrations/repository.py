"""The project's git repository: reads its files, and writes the result of a merge.

The project's files are written only at the very end, when the whole result is known
(`Repository.apply`). If the process is killed while it writes, `undo_command` restores the last commit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from errors import ChangedError, GitError, MoveError
from git_command import git
from signals import blocked_signals
from trees import EXECUTABLE, FILE, SUBMODULE, Conflict, File, Result, Tree


class Repository:
    """The git repository that contains a project. All paths are relative to the project's folder."""

    def __init__(self, project: Path) -> None:
        self.project = project
        #: The path from the repository's root to the project: "" or "path/to/project/".
        self.prefix = self.git("rev-parse", "--show-prefix").decode().removesuffix("\n")
        self.head = self.git("rev-parse", "HEAD").decode().strip()

    def git(self, *args: str, input: bytes | None = None, **env: str) -> bytes:
        """Run git in the project's folder and return its output.

        Raises:
            GitError: git failed.
        """
        return git(*args, cwd=self.project, input=input, **env)

    def tree(self, commit: str = "HEAD") -> Tree:
        """Return the project's files in a commit. A submodule counts as a file."""
        listing = self.git("ls-tree", "-r", "-z", commit).decode(errors="surrogateescape")
        found = {}
        for entry in listing.split("\0")[:-1]:
            meta, _, path = entry.partition("\t")
            mode, _, blob = meta.split()
            found[path] = File(mode, blob)
        return found

    def index(self) -> list[str]:
        """List the project's files that git tracks."""
        listing = self.git("ls-files", "-z").decode(errors="surrogateescape")
        return listing.split("\0")[:-1]

    def stored(self, folder: Path) -> Tree:
        """Store the files of a folder as git objects, and return them as a tree."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = "".join(f"{path}\n" for path in paths).encode()
        blobs = self.git("hash-object", "-w", "--no-filters", "--stdin-paths", input=names)
        return {
            path.relative_to(folder).as_posix(): File(mode_of(path), blob)
            for path, blob in zip(paths, blobs.decode().split(), strict=True)
        }

    def store(self, content: bytes) -> str:
        """Store some content as a git object, and return its id."""
        return self.git("hash-object", "-w", "--stdin", input=content).decode().strip()

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Return the content of git objects by their ids."""
        wanted = sorted(set(blobs))
        listing = "".join(f"{blob}\n" for blob in wanted).encode()
        output = self.git("cat-file", "--batch", input=listing) if wanted else b""
        found, start = {}, 0
        for blob in wanted:
            end = output.index(b"\n", start)
            size = int(output[start:end].split()[-1])
            found[blob] = output[end + 1 : end + 1 + size]
            start = end + size + 2
        return found

    def apply(self, before: Tree, result: Result) -> None:
        """Write a result to the project and stage it. Files with conflicts stay unmerged in the index.

        It replaces the whole index first. From then on git knows every path that will be written, so
        `undo_command` works no matter where this stops.

        Raises:
            MoveError: another file is where a moved file belongs; nothing was written.
            ChangedError: the project differs from its last commit; nothing was written.
            GitError: git failed; the project is restored.
        """
        blockers = self._blockers(before, result.tree)
        for path in sorted(blockers.keys() & result.moved):
            raise MoveError(
                f"cannot move a file to {path}, because {blockers[path]} exists; "
                f"move {blockers[path]} away first"
            )
        result.blocked = sorted(path for path, blocker in blockers.items() if blocker in before)
        result.ignored = sorted(blockers.keys() - set(result.blocked))
        after = {path: file for path, file in result.tree.items() if path not in blockers}
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        changed |= result.conflicts.keys()
        for path in sorted(changed):
            if path in before and before[path].mode == SUBMODULE:
                raise MoveError(f"{path} is a submodule; run 'git rm {path}' and commit first")
        self.check_unchanged(changed)
        try:
            with blocked_signals():
                self._write_index(after, changed, result.conflicts)
                self._write_files(after, changed, result.conflicts)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Restore the project's last commit."""
        command = undo_command(self.prefix)
        subprocess.run(command, shell=True, cwd=self.project, capture_output=True)

    def check_unchanged(self, paths: Collection[str]) -> None:
        """Check that the last commit contains everything that will be overwritten.

        Raises:
            ChangedError: it does not.
        """
        if self.git("rev-parse", "HEAD").decode().strip() != self.head:
            raise ChangedError("a commit was made during the update; run the update again")
        status = self.git("status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
        if status:
            name = status[3:].decode(errors="replace").partition("\0")[0]
            raise ChangedError(
                f"{name.removeprefix(self.prefix)} changed during the update; commit it and run the "
                "update again"
            )
        # `git status` does not show files with the flags assume-unchanged and skip-worktree.
        listing = self.git("ls-files", "-v", "-z").decode(errors="surrogateescape")
        for entry in listing.split("\0")[:-1]:
            flag, path = entry[0], entry[2:]
            is_hidden = flag.islower() or flag == "S"
            if is_hidden and path in paths and os.path.lexists(self.project / path):
                raise ChangedError(
                    f"git is set to ignore your changes to {path}, so an update could lose them; "
                    f"first run: git update-index --no-assume-unchanged --no-skip-worktree {path}"
                )

    def _blockers(self, before: Tree, after: Tree) -> dict[str, str]:
        """Find the new files whose path, or a folder of it, is in use.

        Returns:
            For each such file, the path in use: a tracked file, or a file that git does not track.
        """
        inside = {str(folder): path for path in after for folder in PurePosixPath(path).parents}
        found = {}
        for path in after.keys() - before.keys():
            folders = [str(folder) for folder in PurePosixPath(path).parents][:-1]
            tracked = [inside[path]] if path in inside else [one for one in folders if one in after]
            untracked = [one for one in (path, *folders) if self._is_in_use(one, path, before)]
            if tracked or untracked:
                found[path] = (tracked or untracked)[0]
        return found

    def _is_in_use(self, candidate: str, path: str, before: Tree) -> bool:
        """Return whether an untracked file is at a path that a new file needs."""
        on_disk = self.project / candidate
        exists = os.path.lexists(on_disk) and candidate not in before
        return exists and (candidate == path or on_disk.is_symlink() or on_disk.is_file())

    def _write_index(
        self, after: Tree, changed: Iterable[str], conflicts: Mapping[str, Conflict]
    ) -> None:
        lines = []
        for path in sorted(changed | conflicts.keys()):
            lines.append(f"0 {'0' * len(self.head)}\t{self.prefix}{path}")
            sides: list[tuple[int, File | None]] = [(0, after.get(path))]
            if conflict := conflicts.get(path):
                sides = [(1, conflict.base), (2, conflict.ours), (3, conflict.theirs)]
            lines += [
                f"{file.mode} {file.blob} {stage}\t{self.prefix}{path}"
                for stage, file in sides
                if file
            ]
        index = self.project / self.git("rev-parse", "--git-path", "index").decode().strip()
        lock, draft = index.with_name("index.lock"), index.with_name(f"index.{os.getpid()}")
        try:
            shutil.copy2(index, draft)
            self.git(
                *("update-index", "-z", "--index-info"),
                input="".join(f"{line}\0" for line in lines).encode(errors="surrogateescape"),
                GIT_INDEX_FILE=str(draft),
            )
            # Git's own protocol: only the process that creates the lock file may write the index.
            # The lock exists only briefly, because a killed process leaves it behind.
            try:
                lock.touch(exist_ok=False)
            except FileExistsError:
                raise GitError(f"{lock} exists; is another git process running?") from None
            try:
                draft.replace(index)
            finally:
                lock.unlink()
        finally:
            draft.unlink(missing_ok=True)

    def _write_files(
        self, after: Tree, changed: Iterable[str], conflicts: Mapping[str, Conflict]
    ) -> None:
        for path in sorted(changed):
            if path not in after:
                remove(self.project / path, self.project)
        written = [path for path in sorted(changed) if path in after and path not in conflicts]
        names = "".join(f"{path}\0" for path in written).encode(errors="surrogateescape")
        self.git("checkout-index", "--force", "-u", "-z", "--stdin", input=names)
        if conflicts:
            self._write_texts(conflicts)

    def _write_texts(self, conflicts: Mapping[str, Conflict]) -> None:
        """Write the texts with conflict markers.

        Git checks them out from a temporary index, so that line ends and links come out right.
        """
        texts = [
            f"{conflict.text.mode} {conflict.text.blob}\t{self.prefix}{path}\0"
            for path, conflict in conflicts.items()
        ]
        with tempfile.TemporaryDirectory(prefix="template-") as folder:
            index = str(Path(folder, "index"))
            listing = "".join(texts).encode(errors="surrogateescape")
            self.git("update-index", "-z", "--index-info", input=listing, GIT_INDEX_FILE=index)
            self.git("checkout-index", "--force", "--all", GIT_INDEX_FILE=index)


def undo_command(prefix: str) -> str:
    """Return the shell command that restores a project's last commit, to be run in its folder.

    The command changes only files in git's index. Untracked and ignored files stay. If the project
    is a folder of a larger repository, the other folders stay, too.
    """
    if not prefix:
        return "git reset --hard"
    return "git add --update . && git restore --source=HEAD --staged --worktree ."


def mode_of(path: Path) -> str:
    """Return the mode that git stores for a file."""
    return EXECUTABLE if path.stat().st_mode & 0o100 else FILE


def remove(path: Path, root: Path) -> None:
    """Remove a file, and its folders below the root that are then empty."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root:
            break
        try:
            folder.rmdir()
        except OSError:
            break
