#!/usr/bin/env bash
# Unit tests of everything.
set -euo pipefail
cd "$(dirname "$0")/.."
uv sync --all-packages
uv run pytest libs/notescore
(cd backend && uv run pytest)
(cd frontend && npm test)
