"""The merge of three trees, path by path, in a real repository."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ..update import faults
from .conftest import Migration

# They start git and other programs.
pytestmark = pytest.mark.programs

MARK = "# Kept by the template\n"
LINES = [f"line {number}\n" for number in range(1, 10)]

Texts = Mapping[str, str | None]


@pytest.fixture(scope="session")
def code(migration: Migration) -> SimpleNamespace:
    """Return the names that the tests use from several files of migrations/."""
    modules = ("errors", "merge", "moves", "repository", "trees", "undo", "writer")
    return SimpleNamespace(**{k: v for name in modules for k, v in vars(migration(name)).items()})


@pytest.fixture
def repository(code: SimpleNamespace, tmp_path: Path) -> Any:
    """Return a repository with one commit."""
    for command in (
        ["git", "init", "--quiet", str(tmp_path)],
        ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com",
         "commit", "--quiet", "--allow-empty", "--message=x"],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    return code.Repository(tmp_path)


@pytest.fixture
def apply(code: SimpleNamespace) -> Callable[..., None]:
    """Return the function that writes a result to a repository."""

    def applied(repository: Any, before: Any, result: Any) -> None:
        writer = code.Writer(repository, before, result)
        writer.prepare()
        writer.write()

    return applied


@pytest.fixture
def merge(code: SimpleNamespace, repository: Any) -> Callable[..., Any]:
    """Return the function that merges three projects, given as texts by path."""

    def tree(texts: Texts) -> Any:
        return {
            path: code.File(code.FILE, repository.store(text.encode()))
            for path, text in texts.items()
            if text is not None
        }

    def merged(base: Texts, ours: Texts, theirs: Texts, **more: Any) -> Any:
        if "theirs_moved" in more:
            more["theirs_moved"] = tree(more["theirs_moved"])
        result = code.Merge(repository, tree(base), tree(ours), tree(theirs), **more).run()
        texts = repository.read(file.blob for file in result.tree.values())
        result.texts = {path: texts[file.blob].decode() for path, file in result.tree.items()}
        return result

    return merged


def text(*changes: tuple[int, str]) -> str:
    lines = list(LINES)
    for number, line in changes:
        lines[number - 1] = f"{line}\n"
    return MARK + "".join(lines)


#: Cases of a file that belongs to the template: the text in `base`, `ours`, `theirs` and the result,
#: and the list of the result that holds the path.
TEMPLATES = {
    "no side changed it": (text(), text(), text(), text(), ""),
    "the template changed it": (text(), text(), text((2, "T")), text((2, "T")), ""),
    "the user changed it": (text(), text((8, "U")), text(), text((8, "U")), ""),
    "both changed different lines": (text(), text((8, "U")), text((2, "T")), text((2, "T"), (8, "U")), ""),
    "both made the same change": (text(), text((2, "S")), text((2, "S")), text((2, "S")), ""),
    "it is new": (None, None, text(), text(), ""),
    "it is gone": (text(), text(), None, None, ""),
    "the user removed it": (text(), None, text(), None, ""),
    "the user removed it, the template changed it": (text(), None, text((2, "T")), None, ""),
    "both removed it": (text(), None, None, None, ""),
    "it is gone, the user changed it": (text(), text((8, "U")), None, text((8, "U")), "kept"),
    "the user took it over": (text(), "mine\n", text(), "mine\n", ""),
    "the user took it over, the template changed it": (
        text(), "mine\n", text((2, "T")), "mine\n", "taken",
    ),
    "it is new, and the user has another file there": (None, "mine\n", text(), "mine\n", "taken"),
    "it has got the mark": ("a\n", "a\n", f"{MARK}b\n", f"{MARK}b\n", ""),
    "it has got the mark, the user changed it": (
        "a\nb\nc\nd\ne\n", "a\nb\nc\nd\nU\n", f"{MARK}a\nb\nc\nd\ne\n", f"{MARK}a\nb\nc\nd\nU\n", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TEMPLATES)
def test_a_file_of_the_template(merge: Callable[..., Any], case: str) -> None:
    base, ours, theirs, after, listed = TEMPLATES[case]
    result = merge({"x": base}, {"x": ours}, {"x": theirs})
    assert result.texts.get("x") == after
    assert not result.conflicts
    for name in ("kept", "taken", "left_out"):
        assert getattr(result, name) == (["x"] if name == listed else [])


#: Cases of a file that belongs to the user: the text in `base`, `ours`, `theirs` and the result.
USERS = {
    "no side changed it": ("a\n", "a\n", "a\n", "a\n"),
    "the template changed it": ("a\n", "a\n", "b\n", "a\n"),
    "both changed it": ("a\n", "u\n", "b\n", "u\n"),
    "it is gone": ("a\n", "a\n", None, "a\n"),
    "the user removed it": ("a\n", None, "b\n", None),
    "it was the template's": (text(), text(), "b\n", text()),
    "only the user has it": (None, "u\n", None, "u\n"),
}


@pytest.mark.parametrize("case", USERS)
def test_a_file_of_the_user(merge: Callable[..., Any], case: str) -> None:
    base, ours, theirs, after = USERS[case]
    result = merge({"x": base}, {"x": ours}, {"x": theirs})
    assert result.texts.get("x") == after


def test_a_new_file_of_the_user_is_added_only_with_a_new_folder(merge: Callable[..., Any]) -> None:
    result = merge(
        {"services/a/a.py": "a\n"},
        {"services/a/a.py": "a\n"},
        {"services/a/a.py": "a\n", "services/a/new.py": "n\n", "services/b/b.py": "b\n"},
    )
    assert result.texts == {"services/a/a.py": "a\n", "services/b/b.py": "b\n"}
    assert result.left_out == ["services/a/new.py"]


def test_a_conflict_holds_both_sides(merge: Callable[..., Any]) -> None:
    result = merge({"x": text()}, {"x": text((5, "U"))}, {"x": text((5, "T"))})
    assert list(result.conflicts) == ["x"]
    assert "<<<<<<< before updating\nU\n=======\nT\n>>>>>>> after updating\n" in result.texts["x"]


def test_a_users_file_gets_only_the_changes_of_its_move(merge: Callable[..., Any]) -> None:
    lines = "import old\n\na\nb\nc\n"
    result = merge(
        {"s/m.py": lines},
        {"s/m.py": lines + "mine\n"},
        {"s/m.py": "import new\n\nrewritten\n"},
        moved=["s/m.py"],
        theirs_moved={"s/m.py": lines.replace("old", "new")},
    )
    assert result.texts == {"s/m.py": lines.replace("old", "new") + "mine\n"}


def test_windows_line_ends_do_not_count_as_a_change(merge: Callable[..., Any]) -> None:
    ours = text((8, "U")).replace("\n", "\r\n")
    result = merge({"x": text()}, {"x": ours}, {"x": text((2, "T"))})
    assert result.texts["x"] == text((2, "T"), (8, "U")).replace("\n", "\r\n")
    assert not result.conflicts


def test_a_single_windows_line_end_does_not_spread(merge: Callable[..., Any]) -> None:
    ours = text((8, "U\r"))
    result = merge({"x": text()}, {"x": ours}, {"x": text((2, "T"))})
    assert result.texts["x"] == text((2, "T"), (8, "U\r"))
    assert not result.conflicts


def test_a_binary_file_that_both_changed_is_a_conflict(merge: Callable[..., Any]) -> None:
    base, ours, theirs = (f"{MARK}\0{letter}" for letter in "abc")
    result = merge({"x": base}, {"x": ours}, {"x": theirs})
    assert result.texts == {"x": ours}
    assert list(result.conflicts) == ["x"]


def test_the_executable_bit_is_merged_like_a_line(
    merge: Callable[..., Any], code: SimpleNamespace, repository: Any
) -> None:
    def tree(mode: str, content: str) -> Any:
        return {"x": code.File(mode, repository.store(content.encode()))}

    for base, ours, theirs, after in (
        (code.FILE, code.FILE, code.EXECUTABLE, code.EXECUTABLE),
        (code.FILE, code.EXECUTABLE, code.FILE, code.EXECUTABLE),
        (code.EXECUTABLE, code.FILE, code.EXECUTABLE, code.FILE),
    ):
        result = code.Merge(
            repository, tree(base, text()), tree(ours, text((8, "U"))), tree(theirs, text((2, "T")))
        ).run()
        assert result.tree["x"].mode == after


def test_an_untracked_file_is_not_overwritten(
    apply: Callable[..., None], code: SimpleNamespace, repository: Any, tmp_path: Path
) -> None:
    (tmp_path / ".gitignore").write_text("own\nfolder\n")
    (tmp_path / "own").write_text("mine\n")
    (tmp_path / "folder").write_text("mine\n")
    result = code.Result()
    blob = repository.store(b"new\n")
    result.tree = {path: code.File(code.FILE, blob) for path in ("own", "folder/x", "new")}
    apply(repository, {}, result)
    assert (tmp_path / "own").read_text() == (tmp_path / "folder").read_text() == "mine\n"
    assert (tmp_path / "new").read_text() == "new\n"
    assert result.ignored == ["folder/x", "own"]
    assert repository.index() == ["new"]


@pytest.fixture
def committed(code: SimpleNamespace, repository: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return the function that commits files, and returns a result with more files."""

    def made(mine: Texts, new: Texts, links: Mapping[str, str] = {}, **more: Any) -> Any:
        for name, content in mine.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content or "")
        for name, target in links.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(target)
        run_git(tmp_path, "add", "--all", "--force", "--", *mine, *links)
        run_git(tmp_path, "commit", "--quiet", "--message=mine")
        repository.head = repository.git("rev-parse", "HEAD").decode().strip()
        result = code.Result(**more)
        result.tree = repository.tree() | {
            path: code.File(code.FILE, repository.store((content or "").encode()))
            for path, content in new.items()
        }
        return result

    return made


def run_git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True)


@pytest.mark.parametrize(
    ("mine", "links", "new"),
    [
        ({"tools": "mine\n"}, {}, "tools/new.sh"),
        ({"local.cfg/y": "mine\n"}, {}, "local.cfg"),
        ({"shared/x.py": "mine\n"}, {"scripts": "shared"}, "scripts/x.py"),
        ({"shared/x.py": "mine\n"}, {"scripts": "shared"}, "scripts/new.py"),
    ],
)
def test_a_tracked_path_that_blocks_a_new_file_stays(
    apply: Callable[..., None], mine: Texts, links: Mapping[str, str], new: str, repository: Any, tmp_path: Path,
    committed: Callable[..., Any],
) -> None:  # fmt: skip
    result = committed(mine, {new: "new\n"}, links)
    before = repository.tree()
    apply(repository, before, result)
    assert result.blocked == [new]
    assert result.ignored == []
    assert repository.index() == sorted(before)
    for name, content in mine.items():
        assert (tmp_path / name).read_text() == content
    assert all((tmp_path / name).is_symlink() for name in links)
    assert not repository.git("status", "--porcelain")


#: Files and folders that take each other's place: what is committed, as texts and links, and what comes.
SWAPS: dict[str, tuple[Texts, Mapping[str, str], Texts]] = {
    "a file becomes a folder": ({"x": "old\n"}, {}, {"x/y": "new\n"}),
    "a link to a folder becomes a folder": ({}, {"x": ".."}, {"x/y": "new\n"}),
    "a folder becomes a file": ({"x/y/z": "old\n", "x/w": "old\n"}, {}, {"x": "new\n"}),
    "a folder moves into itself": ({"x/y": "old\n"}, {}, {"x/y/y": "new\n"}),
}


@pytest.mark.parametrize("case", SWAPS)
def test_a_swap_of_a_file_and_a_folder_is_undone(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any], case: str
) -> None:
    mine, links, new = SWAPS[case]
    result = committed(mine, new, links)
    for path in (*mine, *links):
        del result.tree[path]
    if (tmp_path / "x").is_dir() and not links:
        (tmp_path / "x").chmod(0o700)
    before = faults.snapshot(tmp_path)
    writer = code.Writer(repository, repository.tree(), result)
    writer.prepare()
    writer.write()
    assert not result.blocked and not result.ignored
    assert {path: (tmp_path / path).read_text() for path in new} == new
    assert code.Undo(writer.folder, code.read_journal(writer.folder)).run() == {}
    assert faults.snapshot(tmp_path) == before


def test_a_link_to_a_folder_with_such_files_becomes_a_folder(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    """What is behind the link is neither in the way, nor what the update wrote."""
    mine, new = {"other/y": "same\n", "other/z/w": "mine\n"}, {"x/y": "same\n", "x/z/v": "new\n"}
    result = committed(mine, new, {"x": "other"})
    del result.tree["x"]
    before = faults.snapshot(tmp_path)
    writer = code.Writer(repository, repository.tree(), result)
    writer.prepare()
    writer.write()
    assert not result.blocked and not result.ignored
    assert {path: (tmp_path / path).read_text() for path in (mine | new)} == mine | new
    assert code.Undo(writer.folder, code.read_journal(writer.folder)).run() == {}
    assert faults.snapshot(tmp_path) == before


def test_a_folder_with_an_ignored_file_does_not_become_a_file(
    apply: Callable[..., None], repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    (tmp_path / ".git/info/exclude").write_text("*.pyc\n")
    result = committed({"x/y": "old\n"}, {"x": "new\n"})
    del result.tree["x/y"]
    (tmp_path / "x/y.pyc").write_text("mine\n")
    apply(repository, repository.tree(), result)
    assert (result.blocked, result.ignored) == (["x"], [])
    assert (tmp_path / "x/y.pyc").read_text() == "mine\n"


def test_an_update_that_was_too_late_keeps_the_undo_of_the_first(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    result = committed({"x": "old\n"}, {"x": "new\n"})
    first, second = (code.Writer(repository, repository.tree(), result) for _ in range(2))
    first.prepare()
    first.write()
    with pytest.raises(code.ChangedError, match="^x changed during the update"):
        second.prepare()
    assert code.Undo(first.folder, code.read_journal(first.folder)).run() == {}
    assert (tmp_path / "x").read_text() == "old\n"


def test_an_undo_does_not_write_through_a_link(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    result = committed({"x/y": "old\n"}, {})
    del result.tree["x/y"]
    writer = code.Writer(repository, repository.tree(), result)
    writer.prepare()
    writer.write()
    (tmp_path / "other").mkdir()
    (tmp_path / "x").symlink_to("other")
    problems = code.Undo(writer.folder, code.read_journal(writer.folder)).run()
    assert problems.keys() == {"x/y"}
    assert "x is a link now" in problems["x/y"]
    assert list((tmp_path / "other").iterdir()) == []


def test_an_undo_does_not_take_a_file_away_through_a_link(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    result = committed({"own": "mine\n"}, {"x/y": "new\n"})
    writer = code.Writer(repository, repository.tree(), result)
    writer.prepare()
    writer.write()
    (tmp_path / "x").rename(tmp_path / "other")
    (tmp_path / "x").symlink_to("other")
    problems = code.Undo(writer.folder, code.read_journal(writer.folder)).run()
    assert problems == {}
    assert (tmp_path / "other/y").read_text() == "new\n"


def test_the_undo_of_an_update_that_has_not_begun_to_write(
    code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:
    """The update prints this command before it writes, and may be killed right after that."""
    result = committed({"x": "old\n"}, {"x": "new\n"})
    writer = code.Writer(repository, repository.tree(), result)
    writer.prepare()
    program = shlex.split(writer.undo_command)[-1]
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The update was stopped before it changed a file: nothing to undo.\n"
    assert (tmp_path / "x").read_text() == "old\n"


@pytest.mark.parametrize("folder", ["OLD", "UNDONE"])
def test_a_version_that_no_commit_has_is_kept(
    code: SimpleNamespace, repository: Any, committed: Callable[..., Any], folder: str
) -> None:
    """An undo that was disturbed by two edits leaves the first edit in its folder."""
    result = committed({"own": "mine\n"}, {"x": "new\n"})
    first, second = (code.Writer(repository, repository.tree(), result) for _ in range(2))
    first.prepare()
    first.write()
    saved = first.folder / getattr(code, folder) / "0"
    saved.write_text("mine\n")
    run_git(repository.project, "reset", "--quiet", "--hard")
    with pytest.raises(
        code.RefusedError, match="is a version of x that an interrupted update saved"
    ):
        second.prepare()
    assert saved.read_text() == "mine\n"


@pytest.mark.parametrize("there", ["new", "new/x"])
def test_a_move_to_a_path_in_use_is_refused(
    apply: Callable[..., None],
    there: str,
    code: SimpleNamespace,
    repository: Any,
    tmp_path: Path,
    committed: Callable[..., Any],
) -> None:
    (tmp_path / ".git/info/exclude").write_text("new\n")
    result = committed({"old/x": "mine\n"}, {"new/x": "mine\n"}, moved=frozenset({"new/x"}))
    del result.tree["old/x"]
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("ignored\n")
    with pytest.raises(
        code.MoveError,
        match=f"^cannot move a file to new/x, because {there} exists; move {there} away first$",
    ):
        apply(repository, repository.tree(), result)
    assert (tmp_path / "old/x").read_text() == "mine\n"
    assert (tmp_path / there).read_text() == "ignored\n"


def test_a_conflict_is_not_written_through_a_link(
    apply: Callable[..., None],
    code: SimpleNamespace,
    repository: Any,
    tmp_path: Path,
    committed: Callable[..., Any],
) -> None:
    result = committed({"own": "mine\n"}, {}, {"x": "own"})
    (tmp_path / "own").chmod(0o600)
    ours = result.tree["x"]
    theirs = code.File(code.FILE, repository.store(b"new\n"))
    result.conflicts["x"] = code.Conflict(None, ours, theirs, ours)
    apply(repository, repository.tree(), result)
    assert (tmp_path / "x").readlink() == Path("own")
    assert (tmp_path / "own").read_text() == "mine\n"
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600
    assert repository.git("status", "--porcelain") == b"AA x\n"


def test_a_conflict_in_a_read_only_file_is_written(
    apply: Callable[..., None],
    code: SimpleNamespace,
    repository: Any,
    tmp_path: Path,
    committed: Callable[..., Any],
) -> None:
    result = committed({"x": "mine\n"}, {"x": "both\n"})
    ours, both = repository.tree()["x"], result.tree["x"]
    result.conflicts["x"] = code.Conflict(None, ours, both, both)
    (tmp_path / "x").chmod(0o444)
    apply(repository, repository.tree(), result)
    assert (tmp_path / "x").read_text() == "both\n"


def change_the_file(folder: Path) -> None:
    (folder / "x").write_text("edited meanwhile\n")


def commit_something(folder: Path) -> None:
    run_git(folder, "commit", "--quiet", "--allow-empty", "--message=meanwhile")


def change_what_git_assumes(folder: Path) -> None:
    run_git(folder, "update-index", "--assume-unchanged", "x")
    change_the_file(folder)


def change_what_git_skips(folder: Path) -> None:
    run_git(folder, "update-index", "--skip-worktree", "x")
    change_the_file(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_the_file, "x changed during the update; commit it and run the update again"),
        (commit_something, "a commit was made during the update; run the update again"),
        (
            change_what_git_assumes,
            "git is set to ignore your changes to x, so an update could lose them",
        ),
        (
            change_what_git_skips,
            "git is set to ignore your changes to x, so an update could lose them",
        ),
    ],
)
def test_a_change_that_is_not_committed_is_not_overwritten(
    apply: Callable[..., None], change: Callable[[Path], None], reason: str, code: SimpleNamespace, repository: Any,
    tmp_path: Path, committed: Callable[..., Any],
) -> None:  # fmt: skip
    result = committed({"x": "mine\n"}, {"x": "new\n"})
    before = repository.tree()
    change(tmp_path)
    content = (tmp_path / "x").read_text()
    with pytest.raises(code.ChangedError, match=reason):
        apply(repository, before, result)
    assert (tmp_path / "x").read_text() == content


def test_a_refusal_quotes_a_name_in_its_command(
    apply: Callable[..., None], code: SimpleNamespace, repository: Any, tmp_path: Path, committed: Callable[..., Any]
) -> None:  # fmt: skip
    result = committed({"my file": "mine\n"}, {"my file": "new\n"})
    run_git(tmp_path, "update-index", "--assume-unchanged", "my file")
    with pytest.raises(code.ChangedError) as refusal:
        apply(repository, repository.tree(), result)
    command = str(refusal.value).rpartition("first run: git ")[2]
    run_git(tmp_path, *shlex.split(command))
    apply(repository, repository.tree(), result)
    assert (tmp_path / "my file").read_text() == "new\n"


def test_another_git_process_is_not_disturbed(
    apply: Callable[..., None],
    code: SimpleNamespace,
    repository: Any,
    tmp_path: Path,
    committed: Callable[..., Any],
) -> None:
    result = committed({"x": "mine\n"}, {"x": "new\n"})
    (tmp_path / ".git/index.lock").touch()
    with pytest.raises(code.GitError, match="index.lock exists; is another git process running"):
        apply(repository, repository.tree(), result)
    assert (tmp_path / ".git/index.lock").exists()
    assert (tmp_path / "x").read_text() == "mine\n"


def test_two_files_for_one_path_are_refused(code: SimpleNamespace) -> None:
    tree = {name: code.File(code.FILE, "0") for name in ("a", "b")}
    with pytest.raises(
        code.MoveError,
        match="cannot move a to b, because another file has that path; move that file away",
    ):
        code.moved(tree, lambda path: ["b"])


@pytest.mark.parametrize(
    ("commit", "version"),
    [
        ("v1.2.3", "1.2.3"),
        ("v1.2.3-4-gabcdef0", "1.2.3.post4"),
        ("v1.2.3-rc.1", "1.2.3rc1"),
        ("v1.2.3-rc.1-4-gabcdef0", "1.2.3rc1.post4"),
        ("19f32c4", "0"),
        ("1234567", "0"),
    ],
)
def test_versions_as_git_describes_them(migration: Migration, commit: str, version: str) -> None:
    assert str(migration("steps").parsed(commit)) == version


def test_the_steps_between_two_versions_run_in_order(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = migration("steps")
    monkeypatch.setattr(steps, "STEPS", [])
    for version in ("2.0.0", "1.0.0", "1.1.0"):

        def rename(change: Any) -> None:
            """Some reason."""

        steps.step(version)(rename)
        rename.__name__ = version

    def between(old: str, new: str) -> list[str]:
        return [function.__name__ for function in steps.steps_between(old, new)]

    assert between("v1.0.0", "v1.1.0") == ["1.1.0"]
    assert between("19f32c4", "v2.0.0") == ["1.0.0", "1.1.0", "2.0.0"]
    assert between("v1.0.0", "abcdef0") == ["1.1.0", "2.0.0"]
    assert between("v2.0.0", "v2.0.0") == []


def test_a_step_without_a_docstring_is_refused(migration: Migration) -> None:
    with pytest.raises(ValueError, match="needs a docstring that says what was renamed and why"):
        migration("steps").step("1.0.0")(lambda change: None)


def test_moves_apply_one_after_another(migration: Migration) -> None:
    change = migration("steps").Change({"a": 1})
    change.move("x/", "y/")
    change.move("y/one", "z")
    change.rename_answer("a", "b")
    change.rename_answer("a", "b")
    assert [change.new_path(path) for path in ("x/one", "x/two", "y/one", "xx")] == [
        *("z", "y/two", "z", "xx"),
    ]
    assert change.answers == {"b": 1}
