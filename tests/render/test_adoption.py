"""An existing custom service keeps its files and gets the missing files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import copier
import pytest

FILES = {
    "Dockerfile": "FROM scratch\n",
    "main.go": "package main\n",
    "tests/main_test.go": "package main\n",
}


def generate(template: Path, project: Path, **answers: str) -> None:
    copier.run_copy(
        str(template), project, data=answers, defaults=True, quiet=True, skip_tasks=True,
        unsafe=True,
    )  # fmt: skip


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


MAKEFILE = {"Makefile": "test-unit:\n\tgo test\n"}
STACK = {"deploy/test/docker-compose.yml": "services: {}\n"}


@pytest.mark.parametrize("more", [{}, MAKEFILE, STACK, MAKEFILE | STACK])
def test_only_missing_files_are_added(
    template_copy: Path, tmp_path: Path, more: dict[str, str]
) -> None:
    service = tmp_path / "services/billing"
    put(service, FILES | more)
    generate(template_copy, tmp_path, services="api, billing:custom")
    for name, text in (FILES | more).items():
        assert (service / name).read_text() == text
    assert listed(service) == {*FILES, "Makefile", "deploy/test/docker-compose.yml"}


def test_the_makefile_names_the_missing_command(template_copy: Path, tmp_path: Path) -> None:
    service = tmp_path / "services/billing"
    put(service, FILES)
    generate(template_copy, tmp_path, services="billing:custom")
    done = subprocess.run(
        ["make", "--silent", "-C", str(service), "test-unit"], capture_output=True, text=True
    )
    assert done.stderr == (
        "billing: no command for its unit tests yet, add it to services/billing/Makefile\n"
    )


def test_a_single_service_keeps_its_files_too(template_copy: Path, tmp_path: Path) -> None:
    put(tmp_path, FILES)
    generate(template_copy, tmp_path, layout="single", service_kind="custom", database="none")
    for name, text in FILES.items():
        assert (tmp_path / name).read_text() == text
    assert not (tmp_path / "app.py").exists()
    assert not (tmp_path / "tests/unit").exists()


def test_a_new_custom_service_gets_the_placeholder(template_copy: Path, tmp_path: Path) -> None:
    generate(template_copy, tmp_path / "new", services="billing:custom")
    assert {"Dockerfile", "app.py", "tests/unit/test_app.py"} <= listed(
        tmp_path / "new/services/billing"
    )


@pytest.mark.parametrize("own", [{}, MAKEFILE])
def test_the_readme_and_the_answers_name_the_command_of_the_project(
    template_copy: Path, tmp_path: Path, own: dict[str, str]
) -> None:
    put(tmp_path, FILES | own)
    generate(template_copy, tmp_path, layout="single", service_kind="custom", database="none")
    lines = (tmp_path / "README.md").read_text().splitlines()
    hint = "The project has a Makefile of its own: where this page says `make`, run `make -f pipeline.mk`."
    assert lines.count(hint) == len(own)
    answers = (tmp_path / ".copier-answers.yml").read_text().splitlines()[0]
    make = "make -f pipeline.mk" if own else "make"
    assert answers.endswith(f'To change an answer: {make} template-update ARGS="-d KEY=VALUE"')
