#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
# Checks the Python code of the current folder, or fixes its style.
# Usage: python.sh check | fix
set -euo pipefail

linter() {
  # Runs a linter in the environment of the code, where mypy finds the imported packages.
  uv run --with-requirements "$(dirname "${BASH_SOURCE[0]}")/requirements.txt" "$@"
}

case ${1:-} in
check)
  linter ruff check
  linter ruff format --check
  linter mypy
  ;;
fix)
  linter ruff check --fix --exit-zero
  linter ruff format
  ;;
*)
  echo "usage: python.sh check | fix" >&2
  exit 2
  ;;
esac
