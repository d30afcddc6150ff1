"""What names a moved folder from outside: patterns, links, workflows and other text."""

from __future__ import annotations

import sys

import pytest

from .conftest import NEXT, NOW, Generate, Merged


def test_a_rename_repeats_patterns_and_lists_what_names_the_folder(
    generate: Generate, merge: Merged
) -> None:
    project = generate(services="engine:custom", database="none")
    project.append(".gitignore", "/services/engine/key.pem\n**/engine/cache/\n")
    project.write(".gitattributes", "services/engine/*.bin -text\n")
    project.write("CODEOWNERS", "/services/engine/ @team\n")
    project.write(".github/workflows/own.yml", "run: ls services/engine/app.py\n")
    project.path("latest").symlink_to("services/engine")
    project.commit()
    project.write("services/engine/key.pem", "secret\n")
    code, output = merge(project, "rename-service", "engine", "--to=motor", f"--ref={NOW}")
    assert code == 0
    lines = project.read(".gitignore").splitlines()
    assert {"/services/engine/key.pem", "/services/motor/key.pem"} < set(lines)
    assert "/services/motor/*.bin -text" in project.read(".gitattributes").splitlines()
    assert "/services/motor/ @team" in project.read("CODEOWNERS").splitlines()
    assert ".github/workflows/own.yml:1 still says 'engine'" in output
    assert f".gitignore:{lines.index('**/engine/cache/') + 1} still says 'engine'" in output
    assert "latest is a link to services/engine, which does not exist; fix the link" in output
    # The key is still ignored at its old place.
    assert "no longer ignores" not in output
    assert not [line for line in project.status() if line.startswith("??")]


def test_an_ignored_file_that_a_move_exposes_is_listed(generate: Generate, merge: Merged) -> None:
    project = generate(services="engine:custom", database="none")
    project.write("services/engine/.gitignore", "key.pem\n")
    project.commit()
    project.write("services/engine/key.pem", "secret\n")
    _, output = merge(project, "rename-service", "engine", "--to=motor", f"--ref={NOW}")
    assert "git no longer ignores services/engine/key.pem; move, delete or ignore" in output


def test_growing_repeats_patterns(generate: Generate, merge: Merged) -> None:
    project = generate(layout="single", service_kind="custom", database="none")
    project.append(".gitignore", "/credentials.json\n/data/\n")
    project.commit()
    merge(project, "grow", f"--ref={NOW}")
    lines = set(project.read(".gitignore").splitlines())
    assert {"/credentials.json", "/services/app/credentials.json", "/services/app/data/"} < lines


def test_a_deleted_file_that_the_template_changes_is_listed(
    generate: Generate, merge: Merged
) -> None:
    project = generate(
        services="engine:custom",
        database="none",
    )
    project.git("mv", ".editorconfig", "services/engine/.editorconfig")
    project.commit()
    _, output = merge(project, "update", f"--ref={NEXT}")
    assert ".editorconfig (not updated, because you deleted or moved it; the template's" in output


def test_an_edit_meanwhile_survives_an_interruption(generate: Generate, merge: Merged) -> None:
    project = generate(services="engine:custom", database="none")
    repository = sys.modules["repository"].Repository
    original = repository.check_unchanged

    def interrupted(self: object, paths: object) -> None:
        project.append("README.md", "mine\n")
        raise sys.modules["errors"].SignalInterrupt

    repository.check_unchanged = interrupted
    try:
        with pytest.raises(sys.modules["errors"].SignalInterrupt):
            merge(project, "add-service", "billing:custom", f"--ref={NOW}")
    finally:
        repository.check_unchanged = original
    assert project.read("README.md").endswith("mine\n")
    assert project.status() == [" M README.md"]
