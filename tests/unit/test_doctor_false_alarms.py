"""scripts/doctor.py: what is right in public repositories is not reported, and what is wrong is."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_doctor import PYTHON, WORKFLOW, built, found, on_path

__all__ = ["on_path"]

BUILD = "docker build --file app/Dockerfile{} --tag a .\n          docker build --file {} --tag b ."


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        (
            "port-mismatch",
            built("    ports: ['8080:8080']\n"),
            built("    ports: ['8080:8080']\n    environment: {APP_URLS: 'http://+:8080'}\n"),
        ),
        (
            "port-mismatch",
            built("    ports: ['8080:8080']\n    volumes: ['./data:/data']\n") | {"data/x": ""},
            built("    ports: ['8080:8080']\n    volumes: ['./a.ini:/etc/a.ini:ro,Z']\n")
            | {"a.ini": "port = 8080"},
        ),
        (
            "missing-dockerignore",
            {"docker/a/Dockerfile": PYTHON.replace("app.py ", ". "), "docker/a/app.py": ""},
            {"docker/a/Dockerfile": PYTHON.replace("app.py ", ". "), "app.py": ""},
        ),
        (
            "build-everything",
            {"a.yml": WORKFLOW + "    - run: |\n          " + BUILD.format("", "web/Dockerfile")},
            {"a.yml": WORKFLOW + "    - run: |\n          " + BUILD.format("", "app/Dockerfile")},
        ),
    ],
)
def test_a_mistake_and_what_only_looks_like_it(
    tmp_path: Path, rule: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    def rules(name: str, files: dict[str, str]) -> list[str]:
        files = {key if key != "a.yml" else ".github/workflows/a.yml": files[key] for key in files}
        return [finding.rule for finding in found(tmp_path / name, files)]

    assert rule in rules("wrong", wrong)
    assert rule not in rules("right", right)


def test_the_last_stage_is_an_image_too(tmp_path: Path) -> None:
    files = built(
        "    build: {context: ., target: dev}\n",
        "FROM python:3.14-slim AS dev\nCMD [x]\nFROM dev AS final\nCOPY . .\n",
    )
    files["compose.yml"] = files["compose.yml"].replace("    build: .\n", "")
    [finding] = [f for f in found(tmp_path, files) if f.rule == "missing-dockerignore"]
    assert "copied into the image" in finding.message


def test_an_override_file_may_set_the_port(tmp_path: Path) -> None:
    files = built("    ports: ['8080:8080']\n")
    override = "services:\n  api:\n    environment: {URLS: 'http://+:8080'}\n"
    rules = [f.rule for f in found(tmp_path, {**files, "compose.override.yml": override})]
    assert "port-mismatch" not in rules


def test_a_dockerignore_without_a_target_is_not_there(tmp_path: Path) -> None:
    files = {"Dockerfile": PYTHON.replace("app.py ", ". "), "app.py": ""}
    for name in ("Dockerfile.gone", "compose.yaml"):
        (tmp_path / name).symlink_to("nowhere")
    (tmp_path / ".dockerignore").symlink_to("nowhere")
    findings = found(tmp_path, files)
    assert "missing-dockerignore" in [finding.rule for finding in findings]
    assert {finding.path for finding in findings} == {"Dockerfile"}
