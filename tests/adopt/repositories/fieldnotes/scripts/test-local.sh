#!/usr/bin/env bash
# Everything, against a fresh stack.
set -euo pipefail
docker compose down -v --remove-orphans
docker compose up -d --build --wait
uv run pytest tests/integration
docker compose down -v
