#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# check-tools.sh TOOL…: says in one line what is missing of docker, uv and node, and how to get it.
set -euo pipefail

fail() {
  echo "$1" >&2
  exit 1
}

# at_least VERSION MINIMUM
at_least() { printf '%s\n' "$2" "$1" | sort -V -C; }

check_docker() {
  command -v docker >/dev/null ||
    fail "docker is not installed; get Docker Engine 25 or later: https://docs.docker.com/engine/install/"
  local engine compose
  engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) ||
    fail "Docker is not running, or you may not use it; start it, or try: docker info"
  at_least "$engine" 25 ||
    fail "Docker Engine $engine is too old: health checks need 25 or later; update it: https://docs.docker.com/engine/install/"
  compose=$(docker compose version --short 2>/dev/null) ||
    fail "Docker Compose is not installed; get its plugin, 2.24 or later: https://docs.docker.com/compose/install/"
  at_least "${compose#v}" 2.24 ||
    fail "Docker Compose $compose is too old; update it to 2.24 or later: https://docs.docker.com/compose/install/"
}

check_uv() {
  command -v uv >/dev/null ||
    fail "uv is not installed; get it with 'pipx install uv', or see https://docs.astral.sh/uv/"
}

check_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    fail "node and npm are not installed, which a web service is tested with; see https://nodejs.org/"
  fi
}

if ((!$#)); then
  echo "usage: check-tools.sh docker|uv|node …" >&2
  exit 2
fi
for tool; do
  case $tool in
    docker | uv | node) "check_$tool" ;;
    *)
      echo "check-tools.sh: no tool called '$tool'; choose from docker, uv and node" >&2
      exit 2
      ;;
  esac
done
