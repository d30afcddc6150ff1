"""The detection of changes in real git histories: changed-services.py and test_runner/changes.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

# They start git and other programs.
pytestmark = pytest.mark.programs

#: A project of three services. The test stack of api contains worker, that of frontend contains api.
PROJECT = {
    "Makefile": "all:\n",
    "README.md": "A project\n",
    "services/api/Makefile": "test-unit:\n",
    "services/api/main.py": "api = 1\n",
    "services/api/deploy/test/docker-compose.yml": (
        "services:\n  api:\n    build: {context: ../../../../services/api}\n"
        "  worker:\n    build:\n      context: ../../../../services/worker\n"
        "  stub:\n    build: ../../../../deploy/test/stub\n"
    ),
    "services/worker/Makefile": "test-unit:\n",
    "services/worker/main.py": "worker = 1\n",
    "services/worker/deploy/test/docker-compose.yml": (
        "services:\n  worker:\n    build: ../..\n    image: registry.test/services/api:1\n"
    ),
    "services/frontend/Makefile": "test-unit:\n",
    "services/frontend/main.ts": "const frontend = 1;\n",
    "services/frontend/deploy/test/docker-compose.yml": (
        'services:\n  api:\n    build: "../../../api"\n  frontend:\n    build: ../..\n'
    ),
    "deploy/test/docker-compose.yml": "services: {}\n",
    "tests/integration/test_stack.py": "stack = 1\n",
}

ALL = ["api", "frontend", "worker"]


class Repository:
    """A git repository with a project in it."""

    def __init__(self, root: Path, project: Path | None = None) -> None:
        self.root, self.project = root, project or root
        self.project.mkdir(parents=True, exist_ok=True)

    def git(self, *args: str) -> str:
        identity = ("-c", "user.name=unit", "-c", "user.email=unit@example.com")
        command = ["git", *identity, "-c", "protocol.file.allow=always", *args]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            (self.project / name).write_text(text)

    def commit(self, files: Mapping[str, str] | None = None, *removed: str) -> str:
        """Write files, remove other files and commit everything. Return the commit."""
        self.write(files or {})
        for name in removed:
            path = self.project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.git("add", "--all")
        # Two commits with the same files, parent and second would be identical.
        self.git("commit", "--quiet", "--allow-empty", f"--message={uuid.uuid4()}")
        return self.git("rev-parse", "HEAD")

    def clone(self, target: Path, *options: str) -> Repository:
        self.git("clone", "--quiet", *options, self.root.as_uri(), str(target))
        return Repository(target)


@pytest.fixture(scope="module")
def changes(runner: Callable[[str], ModuleType]) -> Callable[..., Any]:
    function: Callable[..., Any] = runner("changes").changes
    return function


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in one commit on the branch main. Tests copy it and must not change it."""
    repository = Repository(tmp_path_factory.mktemp("committed") / "repository")
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit(PROJECT)
    return repository.root


@pytest.fixture
def repository(committed: Path, tmp_path: Path) -> Repository:
    """The project in a repository of its own."""
    return Repository(Path(shutil.copytree(committed, tmp_path / "repository")))


def found(result: Any) -> tuple[list[str], list[str], bool, bool]:
    return result.services, result.affected, result.integration, result.everything


NOTHING: tuple[list[str], list[str], bool, bool] = ([], [], False, False)
EVERYTHING = (ALL, ALL, True, True)
#: The expected result for each changed file.
ONE_FILE = {
    "services/worker/main.py": (["worker"], ["api", "worker"], True, False),
    "services/api/main.py": (["api"], ["api", "frontend"], True, False),
    "services/frontend/main.ts": (["frontend"], ["frontend"], True, False),
    "services/frontend/README.md": (["frontend"], ["frontend"], True, False),
    "services/api/docs/guide.md": (["api"], ["api", "frontend"], True, False),
    "services/api/deploy/test/docker-compose.override.yml": (
        *(["api"], ["api", "frontend"], True, False),
    ),
    "tests/integration/test_stack.py": ([], [], True, False),
    "README.md": NOTHING,
    "CHANGELOG.md": NOTHING,
    "LICENSE": NOTHING,
    "LICENSE.txt": NOTHING,
    "docs/guide.md": NOTHING,
    "docs/deep/picture.svg": NOTHING,
    "services/README.md": NOTHING,
    "deploy/dev/docker-compose.yml": NOTHING,
    "deploy/prod/docker-compose.override.yml": NOTHING,
    "renovate.json": NOTHING,
    ".github/CODEOWNERS": NOTHING,
    ".gitea/ISSUE_TEMPLATE/bug.yml": NOTHING,
    "Makefile": EVERYTHING,
    "Makefile.local": EVERYTHING,
    "scripts/stack.py": EVERYTHING,
    "scripts/README.md": EVERYTHING,
    "deploy/test/docker-compose.yml": EVERYTHING,
    "deploy/test/stub/stub.py": EVERYTHING,
    ".github/workflows/ci.yml": EVERYTHING,
    ".gitea/workflows/ci.yml": EVERYTHING,
    ".github/actions/tools/action.yml": EVERYTHING,
    ".copier-answers.yml": EVERYTHING,
    ".gitattributes": EVERYTHING,
    "pyproject.toml": EVERYTHING,
    "services/common.mk": EVERYTHING,
    "services/_shared/log.py": EVERYTHING,
    "libs/common/log.py": EVERYTHING,
    "testing.txt": EVERYTHING,
}


@pytest.mark.parametrize(("name", "expected"), ONE_FILE.items(), ids=ONE_FILE)
def test_what_a_file_affects(
    changes: Callable[..., Any], repository: Repository, name: str, expected: tuple[Any, ...]
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({name: "changed\n"})
    assert found(changes(repository.project, base)) == expected


def test_the_reason_names_what_changed(changes: Callable[..., Any], repository: Repository) -> None:
    repository.git("checkout", "--quiet", "-b", "topic")
    repository.commit({"services/worker/main.py": "2\n", "services/api/main.py": "2\n"})
    assert changes(repository.project).reason == "api, worker changed since main"
    repository.commit({"tests/integration/test_more.py": "2\n"})
    repository.commit({"scripts/a.sh": "2\n"})
    assert (
        changes(repository.project).reason
        == "everything is affected: scripts/a.sh changed since main"
    )
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"README.md": "2\n"})
    reason = changes(repository.project, base).reason
    assert reason == f"no file that tests use changed since {base[:12]}"
    repository.commit({"tests/integration/test_stack.py": "2\n"})
    assert (
        changes(repository.project, base).reason
        == f"a file that tests use changed since {base[:12]}"
    )


def test_a_reverted_change_does_not_count(
    changes: Callable[..., Any], repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"services/api/main.py": "2\n"})
    repository.commit({"services/api/main.py": PROJECT["services/api/main.py"]})
    assert found(changes(repository.project, base)) == NOTHING


def test_a_deleted_service_affects_who_still_uses_it(
    changes: Callable[..., Any], repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({}, "services/worker")
    assert found(changes(repository.project, base)) == ([], ["api"], True, False)
    repository.commit({}, "services/frontend")
    assert found(changes(repository.project, base)) == ([], ["api"], True, False)


def test_a_new_service_is_changed(changes: Callable[..., Any], repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"services/billing/Makefile": "test-unit:\n"})
    assert found(changes(repository.project, base)) == (["billing"], ["billing"], True, False)


def test_a_file_moved_between_services_affects_both(
    changes: Callable[..., Any], repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    text = PROJECT["services/worker/main.py"]
    repository.commit({"services/frontend/main.py": text}, "services/worker/main.py")
    assert found(changes(repository.project, base)) == (["frontend", "worker"], ALL, True, False)


def test_a_document_moved_into_a_service_is_a_change(
    changes: Callable[..., Any], repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"services/worker/README.md": PROJECT["README.md"]}, "README.md")
    assert changes(repository.project, base).services == ["worker"]


@pytest.mark.parametrize(
    "name", ["ü.py", "a b.py", 'quo"ted.py', "back\\slash.py", "new\nline.py", "-dash", "日本.py"]
)
def test_names_that_git_would_quote(
    changes: Callable[..., Any], repository: Repository, name: str
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({f"services/worker/{name}": "2\n"})
    assert changes(repository.project, base).services == ["worker"]
    repository.commit({f"services/worker/{name}": PROJECT["Makefile"], name: "2\n"})
    result = changes(repository.project, base)
    assert result.everything
    assert result.reason.isprintable()


def test_a_file_name_that_is_not_utf_8(changes: Callable[..., Any], repository: Repository) -> None:
    base = repository.git("rev-parse", "HEAD")
    path = os.fsencode(repository.project / "services/worker") + b"/\xff.py"
    with open(path, "w") as file:  # noqa: PTH123 - a Path holds text
        file.write("2\n")
    repository.commit()
    assert changes(repository.project, base).services == ["worker"]


def test_a_symbolic_link_and_a_mode_are_changes(
    changes: Callable[..., Any], repository: Repository
) -> None:
    base = repository.git("rev-parse", "HEAD")
    (repository.project / "services/worker/main.py").chmod(0o755)
    (repository.project / "services/frontend/link").symlink_to("main.ts")
    repository.commit()
    assert changes(repository.project, base).services == ["frontend", "worker"]


def test_a_service_that_is_a_submodule(
    changes: Callable[..., Any], repository: Repository, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    other.git("init", "--quiet", "--initial-branch=main")
    other.commit({"main.py": "1\n", "Makefile": "test-unit:\n"})
    repository.git("submodule", "--quiet", "add", str(other.root), "services/billing")
    base = repository.commit()
    other.commit({"main.py": "2\n"})
    repository.git("-C", "services/billing", "pull", "--quiet")
    assert changes(repository.project, base, None).services == ["billing"]
    repository.commit()
    assert found(changes(repository.project, base)) == (["billing"], ["billing"], True, False)
    (repository.project / "services/billing/main.py").write_text("3\n")
    assert changes(repository.project, "HEAD", None).services == ["billing"]


def test_new_commits_on_the_base_do_not_count(
    changes: Callable[..., Any], repository: Repository
) -> None:
    repository.git("checkout", "--quiet", "-b", "topic")
    repository.commit({"services/worker/main.py": "2\n"})
    repository.git("checkout", "--quiet", "main")
    repository.commit({"services/frontend/main.ts": "2\n", "Makefile": "2\n"})
    repository.git("checkout", "--quiet", "topic")
    assert changes(repository.project, "main").services == ["worker"]
    repository.git("merge", "--quiet", "--no-edit", "main")
    assert changes(repository.project, "main").services == ["worker"]


def test_a_pushed_merge_commit_counts_what_it_merged(
    changes: Callable[..., Any], repository: Repository
) -> None:
    before = repository.git("rev-parse", "HEAD")
    repository.git("checkout", "--quiet", "-b", "topic")
    repository.commit({"services/worker/main.py": "2\n"})
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    assert changes(repository.project, before).services == ["worker"]


def test_a_force_push_counts_from_the_merge_base(
    changes: Callable[..., Any], repository: Repository
) -> None:
    before = repository.commit({"services/worker/main.py": "2\n"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.commit({"services/frontend/main.ts": "2\n"})
    assert changes(repository.project, before).services == ["frontend"]


UNKNOWN = {
    "nothing": ("", "there is no commit to compare with"),
    "a first push": ("0" * 40, "there is no commit to compare with"),
    "a first push with long hashes": ("0" * 64, "there is no commit to compare with"),
    "a commit that does not exist": ("1" * 40, "111111111111 is not in this clone"),
    "no branch": ("nobody/nothing", "nobody/nothing is not in this clone"),
    "an option": ("--all", "--all is not in this clone"),
    "no commit": ("HEAD^{tree}", "is not in this clone"),
    "two lines": ("a\nb", "'a\\nb' is not in this clone"),
}


@pytest.mark.parametrize(("base", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_base_means_everything(
    changes: Callable[..., Any], repository: Repository, base: str, reason: str
) -> None:
    result = changes(repository.project, base)
    assert found(result) == EVERYTHING
    assert result.reason.startswith("everything counts as changed: ")
    assert reason in result.reason
    assert len(result.reason.splitlines()) == 1


def test_an_unknown_head_means_everything(
    changes: Callable[..., Any], repository: Repository
) -> None:
    result = changes(repository.project, "main", "gone")
    assert found(result) == EVERYTHING
    assert "gone is not in this clone" in result.reason


def test_unrelated_histories_mean_everything(
    changes: Callable[..., Any], repository: Repository
) -> None:
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.commit({"README.md": "2\n"})
    result = changes(repository.project, "main")
    assert found(result) == EVERYTHING
    assert "main and HEAD have no common commit in this clone" in result.reason


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_clone(
    changes: Callable[..., Any], repository: Repository, tmp_path: Path, depth: int
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"services/worker/main.py": "2\n"})
    clone = repository.clone(tmp_path / "clone", f"--depth={depth}")
    result = changes(clone.project, base)
    assert found(result) == (
        EVERYTHING if depth == 1 else (["worker"], ["api", "worker"], True, False)
    )


def test_a_shallow_clone_without_the_merge_base(
    changes: Callable[..., Any], repository: Repository, tmp_path: Path
) -> None:
    repository.git("branch", "topic")
    for number in range(3):
        repository.commit({"services/worker/main.py": f"{number}\n"})
    repository.git("checkout", "--quiet", "topic")
    repository.commit({"services/frontend/main.ts": "2\n"})
    clone = repository.clone(tmp_path / "clone", "--depth=1", "--no-single-branch")
    assert found(changes(clone.project, "origin/main")) == EVERYTHING


def test_without_git(
    changes: Callable[..., Any], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    result = changes(repository.project, "main")
    assert found(result) == EVERYTHING
    assert result.reason == "everything counts as changed: git is not installed"


def test_without_a_repository(changes: Callable[..., Any], tmp_path: Path) -> None:
    project = Repository(tmp_path / "plain")
    project.write(PROJECT)
    result = changes(project.project)
    assert found(result) == EVERYTHING
    assert "not a git repository" in result.reason


def test_before_the_first_commit(changes: Callable[..., Any], tmp_path: Path) -> None:
    repository = Repository(tmp_path / "new")
    repository.git("init", "--quiet")
    repository.write(PROJECT)
    for head in ("HEAD", None):
        result = changes(repository.project, head=head)
        assert found(result) == EVERYTHING
        assert "there is no commit yet" in result.reason


def test_the_variables_of_a_git_hook_are_ignored(
    changes: Callable[..., Any],
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = repository.git("rev-parse", "HEAD")
    repository.commit({"services/worker/main.py": "2\n"})
    other = Repository(tmp_path / "other")
    other.git("init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git/index"))
    assert changes(repository.project, base).services == ["worker"]


@pytest.mark.parametrize("option", [(), ("diff.relative", "true"), ("diff.renames", "copies")])
def test_a_project_in_a_folder_of_a_larger_repository(
    changes: Callable[..., Any], tmp_path: Path, option: tuple[str, ...]
) -> None:
    repository = Repository(tmp_path / "mono", tmp_path / "mono/teams/our shop")
    repository.git("init", "--quiet", "--initial-branch=main")
    if option:
        repository.git("config", *option)
    base = repository.commit(PROJECT)
    (repository.root / "Makefile").write_text("theirs\n")
    (repository.root / "services/api").mkdir(parents=True)
    (repository.root / "services/api/main.py").write_text("theirs\n")
    repository.commit()
    assert found(changes(repository.project, base)) == NOTHING
    repository.write({"services/frontend/new.ts": "2\n"})
    (repository.root / "new.py").write_text("theirs\n")
    assert changes(repository.project, base, None).services == ["frontend"]
    repository.commit({"services/worker/main.py": "2\n"})
    assert changes(repository.project, base).services == ["frontend", "worker"]


def test_a_worktree(changes: Callable[..., Any], repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", "-b", "topic", str(tmp_path / "tree"))
    tree = Repository(tmp_path / "tree")
    tree.commit({"services/worker/main.py": "2\n"})
    assert changes(tree.project).services == ["worker"]
    assert found(changes(repository.project)) == EVERYTHING  # there is only one commit


def test_the_working_tree_includes_uncommitted_changes(
    changes: Callable[..., Any], repository: Repository
) -> None:
    repository.commit({".gitignore": "*.log\n"})
    repository.git("checkout", "--quiet", "-b", "topic")
    assert found(changes(repository.project, head=None)) == NOTHING
    repository.write({"services/worker/main.log": "ignored\n"})
    assert found(changes(repository.project, head=None)) == NOTHING
    repository.write({"services/worker/new.py": "untracked\n"})
    assert changes(repository.project, head=None).services == ["worker"]
    repository.write({"services/frontend/main.ts": "edited\n"})
    assert changes(repository.project, head=None).services == ["frontend", "worker"]
    repository.git("add", "services/frontend")
    assert changes(repository.project, head=None).services == ["frontend", "worker"]
    assert found(changes(repository.project)) == NOTHING
    (repository.project / "services/worker/new.py").unlink()
    (repository.project / "services/worker/main.py").unlink()
    assert changes(repository.project, head=None).services == ["frontend", "worker"]
    nested = Repository(repository.project / "services/nested")
    nested.git("init", "--quiet")
    nested.commit({"main.py": "1\n"})
    assert "nested" in changes(repository.project, head=None).services


def test_a_new_modification_time_is_not_a_change(
    changes: Callable[..., Any], repository: Repository
) -> None:
    repository.git("checkout", "--quiet", "-b", "topic")
    os.utime(repository.project / "Makefile", (1, 1))
    assert found(changes(repository.project, head=None)) == NOTHING


class TestDefaultBase:
    def test_the_default_branch_of_origin(
        self, changes: Callable[..., Any], repository: Repository, tmp_path: Path
    ) -> None:
        repository.git("branch", "--move", "trunk")
        clone = repository.clone(tmp_path / "clone")
        clone.git("checkout", "--quiet", "-b", "topic")
        clone.commit({"services/worker/main.py": "2\n"})
        assert changes(clone.project).reason == "worker changed since origin/trunk"

    @pytest.mark.parametrize("name", ["main", "master"])
    def test_main_or_master(
        self, changes: Callable[..., Any], repository: Repository, tmp_path: Path, name: str
    ) -> None:
        repository.git("branch", "--move", name)
        clone = repository.clone(tmp_path / "clone")
        clone.git("remote", "set-head", "origin", "--delete")
        clone.git("checkout", "--quiet", "-b", "topic")
        clone.commit({"services/worker/main.py": "2\n"})
        assert changes(clone.project).reason == f"worker changed since origin/{name}"
        clone.git("remote", "remove", "origin")
        assert changes(clone.project).reason == f"worker changed since {name}"
        clone.git("checkout", "--quiet", "--detach")
        assert changes(clone.project).reason == f"worker changed since {name}"
        clone.git("branch", "--quiet", "--delete", "--force", name)
        assert "there is no branch main or master" in changes(clone.project).reason

    def test_a_deleted_default_branch_of_origin(
        self, changes: Callable[..., Any], repository: Repository, tmp_path: Path
    ) -> None:
        clone = repository.clone(tmp_path / "clone")
        clone.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")
        clone.git("checkout", "--quiet", "-b", "topic")
        clone.commit({"services/worker/main.py": "2\n"})
        assert changes(clone.project).reason == "worker changed since origin/main"

    def test_the_default_branch_is_compared_with_its_upstream(
        self, changes: Callable[..., Any], repository: Repository, tmp_path: Path
    ) -> None:
        clone = repository.clone(tmp_path / "clone")
        assert found(changes(clone.project, head=None)) == NOTHING
        clone.commit({"services/worker/main.py": "2\n"})
        clone.commit({"services/frontend/main.ts": "2\n"})
        assert changes(clone.project).reason == "frontend, worker changed since origin/main"
        clone.git("remote", "rename", "origin", "upstream")
        assert changes(clone.project).reason == "frontend, worker changed since upstream/main"

    def test_the_default_branch_without_an_upstream_is_compared_with_the_previous_commit(
        self, changes: Callable[..., Any], repository: Repository
    ) -> None:
        assert "there is only one commit" in changes(repository.project).reason
        repository.commit({"services/worker/main.py": "2\n"})
        repository.commit({"services/frontend/main.ts": "2\n"})
        result = changes(repository.project)
        assert result.reason == "frontend changed since the previous commit"
        repository.write({"services/api/main.py": "2\n"})
        assert changes(repository.project, head=None).services == ["api", "frontend"]

    def test_without_an_upstream_origin_is_used(
        self, changes: Callable[..., Any], repository: Repository, tmp_path: Path
    ) -> None:
        clone = repository.clone(tmp_path / "clone")
        clone.git("branch", "--unset-upstream")
        clone.commit({"services/worker/main.py": "2\n"})
        clone.commit({"services/frontend/main.ts": "2\n"})
        assert changes(clone.project).reason == "frontend, worker changed since origin/main"


def test_a_project_of_a_single_service(changes: Callable[..., Any], tmp_path: Path) -> None:
    repository = Repository(tmp_path / "single")
    repository.git("init", "--quiet", "--initial-branch=main")
    base = repository.commit({"Makefile": "1\n", "src/app/main.py": "1\n", "README.md": "1\n"})
    repository.commit({"README.md": "2\n", "deploy/prod/docker-compose.yml": "2\n"})
    assert found(changes(repository.project, base)) == NOTHING
    for name in ("src/app/main.py", "tests/unit/test_app.py", "Makefile", "Dockerfile"):
        start = repository.git("rev-parse", "HEAD")
        repository.commit({name: "2\n"})
        assert found(changes(repository.project, start)) == ([], [], True, False)
    assert found(changes(repository.project, "")) == ([], [], True, True)


#: Difficult names: hidden, untested, shared and quoted files.
FILES = st.sampled_from(
    [
        *("services/api/a.py", "services/api/ü b.py", "services/worker/c.py", "services/w2/d.md"),
        *("services/_x/e.py", "services/f.md", "docs/g.py", "tests/h.py", "README.md", "i.toml"),
        *("deploy/dev/j.yml", "deploy/test/k.yml", ".github/l.md", ".github/workflows/m.yml"),
    ]
)
STATES = st.dictionaries(FILES, st.sampled_from("123"), max_size=8)


def expected(before: dict[str, str], after: dict[str, str]) -> tuple[list[str], bool, bool]:
    """Return the difference of two states of a project, computed without git."""
    names = {name for name in before | after if before.get(name) != after.get(name)}
    services, integration, everything = set(), False, False
    for path in map(PurePosixPath, names):
        top, *rest = path.parts
        if top == "services" and len(rest) > 1 and rest[0] != "_x":
            services.add(rest[0])
        elif top == "tests":
            integration = True
        elif top != "docs" and path.suffix != ".md" and path.parts[:2] != ("deploy", "dev"):
            everything = True
    there = {PurePosixPath(name).parts[1] for name in after if name.startswith("services/")}
    there -= {"_x", "f.md"}
    if everything:
        return sorted(there), True, True
    return sorted(services & there), integration or bool(services), False


@settings(max_examples=15)
@given(STATES, STATES, STATES, st.booleans())
def test_random_changes_match_the_difference_of_the_files(
    runner: Callable[[str], ModuleType],
    before: dict[str, str],
    ours: dict[str, str],
    theirs: dict[str, str],
    committed: bool,
) -> None:
    module = runner("changes")
    # Without services/, it would be a single-service project.
    always = {"services/always/z.py": "0", "keep": "0"}
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder))

        def become(state: dict[str, str]) -> None:
            for path in repository.root.iterdir():
                if path.name != ".git":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            repository.write(always | state)

        repository.git("init", "--quiet", "--initial-branch=main")
        become(before)
        repository.commit()
        repository.git("checkout", "--quiet", "-b", "topic")
        repository.git("checkout", "--quiet", "main")
        become(theirs)
        repository.commit()
        repository.git("checkout", "--quiet", "topic")
        become(ours)
        if committed:
            repository.commit()
        result = module.changes(repository.project, "main", "HEAD" if committed else None)
        told = (result.services, result.integration, result.everything)
        assert told == expected(always | before, always | ours), result.reason


class TestScript:
    """The script, run as people and workflows run it."""

    @pytest.fixture
    def project(self, repository: Repository, render: Callable[..., Path]) -> Repository:
        scripts = render({"project_slug": "shop", "services": "api"}) / "scripts"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(scripts, repository.project / "scripts", ignore=ignore)
        repository.commit({".gitignore": "__pycache__/\n"})
        repository.git("checkout", "--quiet", "-b", "topic")
        repository.commit({"services/worker/main.py": "2\n"})
        return repository

    def run(self, project: Repository, *args: str) -> subprocess.CompletedProcess[str]:
        script = project.project / "scripts/changed-services.py"
        return subprocess.run(
            [sys.executable, script, *args], cwd="/", capture_output=True, text=True
        )

    def test_for_people(self, project: Repository) -> None:
        done = self.run(project)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "worker changed since main",
            "changed:     worker",
            "affected:    api, worker",
            "integration: yes",
        ]
        assert "changed:     none" in self.run(project, "--base=HEAD").stdout
        project.write({"services/frontend/main.ts": "2\n"})
        said = self.run(project, "--base=HEAD", "--working-tree").stdout
        assert said.startswith("frontend changed since HEAD\n")

    def test_for_a_workflow(self, project: Repository) -> None:
        project.commit({"services/billing/Makefile": "test-unit:\n", "services/notes/a": "1\n"})
        done = self.run(project, "--base=main", "--outputs", "api", "worker", "frontend")
        assert done.returncode == 0
        assert done.stderr == "billing, notes, worker changed since main\n"
        outputs = dict(line.split("=", 1) for line in done.stdout.splitlines())
        assert {name: json.loads(value) for name, value in outputs.items()} == {
            "services": ["billing", "notes", "worker"],
            "affected": ["api", "billing", "notes", "worker"],
            "others": ["billing"],
            "integration": True,
        }
        done = self.run(project, "--base=", "--outputs")
        assert 'affected=["api", "billing", "frontend", "notes", "worker"]\n' in done.stdout
        assert 'others=["api", "billing", "frontend", "worker"]\n' in done.stdout
        assert done.stderr == ("everything counts as changed: there is no commit to compare with\n")

    def test_a_folder_cannot_add_an_output(self, project: Repository) -> None:
        project.commit({'services/x\nservices=["evil"]/Makefile': "1\n"})
        done = self.run(project, "--base=main", "--outputs")
        assert [line.split("=")[0] for line in done.stdout.splitlines()] == [
            *("services", "affected", "others", "integration"),
        ]
        assert len(done.stderr.splitlines()) == 1

    def test_a_wrong_command_line(self, project: Repository) -> None:
        done = self.run(project, "--bas=main")
        assert (done.returncode, done.stdout) == (2, "")
        assert "unrecognized arguments: --bas=main" in done.stderr

    def test_help(self, project: Repository) -> None:
        done = self.run(project, "--help")
        assert done.returncode == 0
        for word in ("--base", "--working-tree", "--outputs", "test_runner/changes.py"):
            assert word in done.stdout
