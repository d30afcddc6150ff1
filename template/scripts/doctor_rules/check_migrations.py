# Kept by the template: copier update merges its changes into this file.
"""Rules for migrations."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import Finding, Severity, rule
from .project import Project

#: A migration of Alembic or Kysely, and the part of it that an upgrade runs.
MIGRATION = re.compile(r"(?:^|/)migrations/(?:.*/)?[^/]+\.(?:py|ts|js|mjs)$")
UPGRADES = (
    re.compile(r"^def upgrade\(.*?(?=^def |\Z)", re.MULTILINE | re.DOTALL),
    re.compile(
        r"^export (?:async function up|const up)\b.*?(?=^export |\Z)", re.MULTILINE | re.DOTALL
    ),
)

#: What the previous release does not survive.
BREAKS = {
    r"\.(?:drop_column|dropColumn)\(|\bDROP\s+COLUMN\b": "removes a column",
    r"\.(?:drop_table|dropTable)\(|\bDROP\s+TABLE\b": "removes a table",
    r"\.(?:rename_table|renameTo)\(|\bRENAME\s+TO\b": "renames a table",
    r"\.renameColumn\(|\bnew_column_name\s*=|\bRENAME\s+COLUMN\b": "renames a column",
}
ADDITION = re.compile(r"\.(?:add_column|addColumn)\(")


@rule("breaking-migration", "A migration breaks the previous release")
def breaking_migration(project: Project) -> Iterator[Finding]:
    """Report what the code of the previous release cannot live with, during a deploy or a rollback."""
    for path in project.files:
        if not MIGRATION.search(path):
            continue
        text = project.text(path)
        for pattern in UPGRADES:
            for upgrade in pattern.finditer(text):
                for start, problem in breaks(upgrade[0]):
                    yield Finding(
                        "breaking-migration",
                        path,
                        text.count("\n", 0, upgrade.start() + start) + 1,
                        f"the migration {problem}",
                        "The previous release fails with it, during a deploy and after a rollback.",
                        severity=Severity.WARNING,
                    )


def breaks(text: str) -> Iterator[tuple[int, str]]:
    """Find the changes that the previous release does not survive, with their places."""
    for pattern, problem in BREAKS.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield match.start(), problem
    # In a new table, a column may be required.
    if re.search(r"\.(?:create_table|createTable)\(", text):
        return
    for match in ADDITION.finditer(text):
        call = arguments(text, match.end())
        required = re.search(r"nullable\s*=\s*False|\.notNull\(", call)
        if required and not re.search(
            r"server_default\s*=|\.defaultTo\(|Identity\(|Computed\(", call
        ):
            yield match.start(), "adds a column that is NOT NULL without a default"


def arguments(text: str, start: int) -> str:
    """Return the text up to the parenthesis that closes a call."""
    depth = 1
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return text[start:]
