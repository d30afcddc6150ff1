"""doctor finds nothing in a generated project."""

from __future__ import annotations

import sys
from datetime import date
from importlib import import_module
from pathlib import Path

import pytest

from .conftest import Project

SCRIPTS = Path(__file__).resolve().parents[2] / "template/scripts"


def test_a_generated_project_has_no_findings(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = import_module("doctor_rules.project")
    # A later end of life is the business of `nox -s fresh`.
    checked = module.Project(project.root, today=date(2026, 11, 27))
    findings = import_module("doctor_rules.registry").built_in(checked)
    findings += import_module("doctor_rules.check_workflows").fallback(checked)
    assert checked.compose_files
    assert checked.images
    assert checked.workflow_names
    project.check([f"{f.path}:{f.line} {f.rule}: {f.message}" for f in findings])


@pytest.mark.programs
def test_the_linters_find_nothing_in_a_generated_project(
    named_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    linters = import_module("doctor_rules.linters")
    checked = import_module("doctor_rules.project").Project(named_project.root)
    programs = [linters.zizmor, linters.actionlint, linters.hadolint, linters.compose_config]
    results = linters.run_all(checked, programs)
    findings = [finding for result in results for finding in result.findings]
    named_project.check([f"{f.path}:{f.line} {f.rule}: {f.message}" for f in findings])
