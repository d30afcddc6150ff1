#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
# Checks the TypeScript code of the current folder, or fixes its style.
# Usage: node.sh check | fix
set -euo pipefail
linters=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ! -d node_modules ]]; then
  echo "the packages of ${PWD##*/} are not installed: run make setup" >&2
  exit 1
fi

# Installs the linters when they are missing or an update has changed their versions.
if ! cmp --quiet "$linters/package.json" "$linters/node_modules/package.json"; then
  npm install --prefix "$linters" --no-package-lock --no-audit --no-fund --loglevel=error
  cp "$linters/package.json" "$linters/node_modules/package.json"
fi
linter() { "$linters/node_modules/.bin/$1" "${@:2}"; }

case ${1:-} in
check)
  node_modules/.bin/tsc --noEmit
  linter eslint .
  linter prettier --check src tests ./*.ts ./*.js
  ;;
fix)
  linter prettier --write src tests ./*.ts ./*.js
  linter eslint --fix .
  ;;
*)
  echo "usage: node.sh check | fix" >&2
  exit 2
  ;;
esac
