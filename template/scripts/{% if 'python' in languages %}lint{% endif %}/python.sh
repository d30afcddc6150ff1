#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
# Checks the Python code of the current folder, or fixes its style.
# Usage: python.sh check | fix
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
# In an adopted project, the settings are here, so that they do not apply to the code that was there.
settings=()
if [[ -f $here/ruff.toml ]]; then settings=(--config "$here/ruff.toml"); fi

linter() {
  # Runs a linter in the environment of the code, where mypy finds the imported packages.
  uv run --with-requirements "$here/requirements.txt" "$@"
}

ruff() {
  linter ruff ${settings[@]+"${settings[@]}"} "$@"
}

case ${1:-} in
check)
  ruff check
  ruff format --check
  linter mypy
  ;;
fix)
  ruff check --fix --exit-zero
  ruff format
  ;;
*)
  echo "usage: python.sh check | fix" >&2
  exit 2
  ;;
esac
