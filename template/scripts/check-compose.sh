#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# check-compose.sh: checks that Docker Compose accepts the compose file of every environment, with its
# override file. Required variables get a value, as in a .env that is filled in. Needs no engine.
set -euo pipefail

CDPATH='' cd "$(dirname "$0")/.."

if ! docker compose version >/dev/null 2>&1; then
  echo "the compose files are not checked: there is no \`docker compose\`" >&2
  exit 0
fi

filled=$(mktemp)
trap 'rm -f "$filled"' EXIT

# Only the file decides, not the .env of this checkout or the variables of this shell.
accepts() {
  env -i PATH="$PATH" HOME="${HOME:-/}" ${DOCKER_CONFIG:+DOCKER_CONFIG="$DOCKER_CONFIG"} \
    TEST_INSTANCE_ID=lint docker compose --env-file "$filled" config --quiet
}

failed=0
for file in deploy/*/docker-compose.yml services/*/deploy/test/docker-compose.yml; do
  [ -e "$file" ] || continue
  folder=$(dirname "$file")
  # ${NAME:?why} is required, also in an override file; .env.example may have a value for it.
  { grep -ohE '\$\{[A-Za-z_][A-Za-z0-9_]*:?\?' "$folder"/docker-compose*.y*ml || true; } |
    sed -E 's/^..([A-Za-z0-9_]+).*/\1=1/' >"$filled"
  if [ -e "$folder/.env.example" ]; then
    sed -E 's/^([A-Za-z_][A-Za-z0-9_]*)=$/\1=filled-in/' "$folder/.env.example" >>"$filled"
  fi
  (cd "$folder" && accepts) || {
    echo "$file: Docker Compose refuses it" >&2
    failed=1
  }
done
exit "$failed"
