# Kept by the template: copier update merges its changes into this file.
"""Importing this module registers all rules."""

from __future__ import annotations

from . import (
    check_compose,
    check_dockerfiles,
    check_migrations,
    check_production,
    check_repository,
    check_tests,
    check_workflows,
)
from .model import RULES, Finding
from .project import Project

__all__ = [
    "RULES",
    "built_in",
    "check_compose",
    "check_dockerfiles",
    "check_migrations",
    "check_production",
    "check_repository",
    "check_tests",
    "check_workflows",
]


def built_in(project: Project) -> list[Finding]:
    """Return the findings of all rules that need no other program."""
    return [finding for rule in RULES.values() if rule.check for finding in rule.check(project)]
