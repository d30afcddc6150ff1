"""The commands of AGENTS.md, each in a new worktree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import NOTHING, Project, docker_holds, sh, template_repository
from .test_pipeline import check_first_run


def commands(guide: str) -> list[str]:
    """Return the commands of the guide in an order in which each of them can run."""
    blocks = re.findall(r"(?:^    .*\n)+", guide, re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\s+# .*", "", line).strip() for line in lines]
    found += re.findall(r"`(make [^`]+)`", guide)
    # The environment for development must run for the other commands.
    order = {"make dev": 1, "make dev-down": 3}
    return sorted(dict.fromkeys(found), key=lambda command: order.get(command, 2) if "dev" in
                  command or "alembic" in command else 0)  # fmt: skip


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"layout": "single"}, id="single"),
        pytest.param({"services": "api, worker"}, id="multi", marks=pytest.mark.drills),
    ],
)
def test_every_command_works_in_a_new_worktree(
    generate: Callable[..., Project], tmp_path: Path, answers: dict[str, str]
) -> None:
    main = generate(source=template_repository(tmp_path / "template"), **answers)
    # The lock files are part of the repository.
    main.make("setup")
    main.commit()
    tree = Project(tmp_path / "tree", main.slug)
    main.run("git", "worktree", "add", "--quiet", "-b", "work", str(tree.path))
    found = commands((tree.path / "AGENTS.md").read_text(encoding="utf-8"))
    assert {"make setup", "make test", "make dev", "make dev-down"} < set(found)
    try:
        for command in found:
            if "add-service" in command:
                # The new files of the tests are ignored, so there is nothing else to commit.
                assert tree.run("git", "status", "--porcelain") == ""
            done = tree.run("bash", "-c", command)
            if command == "make test":
                assert re.search(r"^PASSED: \d+ tests", done.splitlines()[-1])
                if "layout" in answers:
                    check_first_run(done, "Unit", "Integration")
            if command == "make dev":
                assert "http://127.0.0.1:" in done
    finally:
        down = ("docker", "compose", "down", "--volumes", "--rmi=local", "--timeout=2")
        sh(*down, cwd=tree.path / "deploy/dev")
    (written,) = set(tree.path.rglob("*add_a_price.py"))
    assert written.parent.name == "versions"
    assert tree.left() == NOTHING
    assert docker_holds(f"com.docker.compose.project={tree.slug}-dev") == NOTHING
