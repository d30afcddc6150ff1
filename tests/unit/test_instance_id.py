"""The real get-test-instance-id.sh in real checkouts with difficult branch names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

# They start git and other programs.
pytestmark = pytest.mark.programs

SCRIPT = Path(__file__).parents[2] / "template" / "scripts" / "get-test-instance-id.sh"
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True)


def project(root: Path) -> Path:
    (root / "scripts").mkdir(parents=True)
    shutil.copy2(SCRIPT, root / "scripts")
    return root


def ask(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / SCRIPT.name
    return subprocess.run(
        ["bash", str(script), *arguments],
        # The current folder does not matter: the id belongs to the script's project.
        cwd="/",
        env=os.environ | env,
        capture_output=True,
        text=True,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    # Bash warns if a locale is not installed.
    return [line for line in done.stderr.splitlines() if "setlocale" not in line]


def instance(root: Path, **env: str) -> str:
    done = ask(root, **env)
    assert done.returncode == 0, done.stderr
    assert told(done) == []
    [line] = done.stdout.splitlines()
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{6}", line)
    assert len(line) <= 27
    return line


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a project in a repository with one commit on the branch main."""
    root = project(tmp_path / "checkout")
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Start")
    return root


def on(checkout: Path, branch: str) -> str:
    git(checkout, "checkout", "--quiet", "-B", branch)
    return instance(checkout)


@pytest.mark.parametrize(
    ("branch", "begins"),
    [
        ("main", "main"),
        ("feature/Login-Form", "feature-login-form"),
        ("release/v1.2.3", "release-v1-2-3"),
        ("x" * 80, "x" * 20),
        ("feature/" + "y" * 200, "feature-" + "y" * 12),
        ("a-very-long-branch-x-y", "a-very-long-branch-x"),
        ("a-long-branch-of-me-and-you", "a-long-branch-of-me"),
        ("ветка", "branch"),
        ("🚀", "branch"),
        ("fix-🚀-now", "fix-now"),
        ("trailing-", "trailing"),
        ("a--b", "a-b"),
        ("_x_", "x"),
        ("#12", "12"),
        ("$(id)", "id"),
        ("a'b\"c", "a-b-c"),
        ("a;b&c|d", "a-b-c-d"),
        ("%s%n", "s-n"),
        ("İstanbul", "stanbul"),
        ("123", "123"),
        ("HEAD-2", "head-2"),
    ],
)
def test_a_branch(checkout: Path, branch: str, begins: str) -> None:
    assert on(checkout, branch).rpartition("-")[0] == begins


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("feature/Login-Form", "feature/login-form"),
        ("feature/x", "feature-x"),
        ("x" * 80, "x" * 79),
        ("x" * 79 + "a", "x" * 79 + "b"),
        ("ветка", "ветки"),
        ("a-", "a"),
        ("main", "main-2"),
    ],
)
def test_branches_with_similar_names(checkout: Path, one: str, other: str) -> None:
    assert on(checkout, one) != instance_on_fresh(checkout, other)


def instance_on_fresh(checkout: Path, branch: str) -> str:
    # On a case-insensitive file system, the two branches cannot exist at the same time.
    git(checkout, "checkout", "--quiet", "--detach")
    for old in (checkout / ".git/refs/heads").iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return on(checkout, branch)


def test_the_id_is_stable(checkout: Path) -> None:
    first = instance(checkout)
    (checkout / "new.txt").touch()
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=More")
    assert instance(checkout) == first


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "tr_TR.UTF-8"])
def test_the_locale_does_not_matter(checkout: Path, locale: str) -> None:
    assert on(checkout, "TITLE-İI") == instance(checkout, LC_ALL=locale)


def test_a_detached_head_uses_its_commit(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")
    first = instance(checkout)
    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]{6}", first)
    git(checkout, "commit", "--quiet", "--allow-empty", "--message=More")
    assert instance(checkout) != first


def test_a_tag_gives_its_name(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    git(checkout, "checkout", "--quiet", "v1.2.3")
    assert instance(checkout).startswith("v1-2-3-")


def test_an_unborn_branch_has_a_name(tmp_path: Path) -> None:
    root = project(tmp_path / "unborn")
    git(root, "init", "--quiet", "--initial-branch=Start")
    assert instance(root).startswith("start-")


def test_a_folder_without_git(tmp_path: Path) -> None:
    one, other = project(tmp_path / "one"), project(tmp_path / "other")
    assert instance(one).startswith("no-git-")
    assert instance(one) != instance(other)


def test_a_machine_without_git(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "tr", "cut", "sed", "sha256sum"):
        found = shutil.which(tool)
        assert found
        (tools / tool).symlink_to(found)
    assert instance(checkout, PATH=str(tools)).startswith("no-git-")


def test_a_broken_repository(checkout: Path) -> None:
    (checkout / ".git/HEAD").write_text("rubbish\n")
    assert instance(checkout).startswith("no-git-")


def test_worktrees_and_clones_differ(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "branch", "other")
    git(checkout, "worktree", "add", "--quiet", "--force", str(tmp_path / "tree"), "main")
    git(tmp_path, "clone", "--quiet", str(checkout), "clone")
    ids = [instance(folder) for folder in (checkout, tmp_path / "tree", tmp_path / "clone")]
    assert len(set(ids)) == 3
    assert all(found.startswith("main-") for found in ids)


def test_a_project_in_a_folder_of_a_repository(checkout: Path) -> None:
    inner = project(checkout / "apps" / "shop")
    assert instance(inner).startswith("main-")
    assert instance(inner) != instance(checkout)


def test_a_symbolic_link_to_the_checkout_gives_the_same_id(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout)
    assert instance(tmp_path / "link") == instance(checkout)


@pytest.mark.parametrize("name", ["with space", "-leading", "quote'\"", "$HOME", "new\nline", "ü"])
def test_hostile_folders(tmp_path: Path, name: str) -> None:
    root = project(tmp_path / name)
    git(root, "init", "--quiet", "--initial-branch=main")
    assert instance(root).startswith("main-")


@pytest.mark.parametrize("given", ["ci-42", "a", "7", "a--b", "x" * 40])
def test_a_valid_override(checkout: Path, given: str) -> None:
    done = ask(checkout, TEST_INSTANCE_ID=given)
    assert (done.returncode, done.stdout) == (0, f"{given}\n")


@pytest.mark.parametrize(
    "given",
    ["CI", "a_b", "a b", "-a", "a-", "-", "x" * 41, "a/b", "é", "a\nb", "*", "a.b", "$(id)", " "],
    ids=repr,
)
@pytest.mark.parametrize("locale", ["C", "en_US.UTF-8"])
def test_an_invalid_override(checkout: Path, given: str, locale: str) -> None:
    done = ask(checkout, TEST_INSTANCE_ID=given, LC_ALL=locale)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = told(done)
    assert line.startswith("TEST_INSTANCE_ID")
    assert line.endswith("without a hyphen at either end")


def test_an_empty_override_is_ignored(checkout: Path) -> None:
    assert ask(checkout, TEST_INSTANCE_ID="").stdout.startswith("main-")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(checkout: Path, option: str) -> None:
    done = ask(checkout, option)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("Prints the test instance id of this checkout")
    assert "TEST_INSTANCE_ID overrides" in lines[-1]


def test_arguments_are_refused(checkout: Path) -> None:
    done = ask(checkout, "main")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_variables_that_name_another_repository(checkout: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "other")
    git(other, "init", "--quiet", "--initial-branch=another")
    foreign = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "CDPATH": str(tmp_path)}
    assert instance(checkout, **foreign) == instance(checkout)
