#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# check-tools.sh TOOL…: checks that docker, uv or node is installed and recent enough. If not, prints
# one line that says how to install or update it.
# `node=24.2` requires that version of Node.js, or a later one.
set -euo pipefail

fail() {
  echo "$1" >&2
  exit 1
}

# at_least VERSION MINIMUM
at_least() { printf '%s\n' "$2" "$1" | sort -V -C; }

check_docker() {
  command -v docker >/dev/null ||
    fail "docker is not installed; install Docker Engine 25 or later: https://docs.docker.com/engine/install/"
  local engine compose
  engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) ||
    fail "Docker is not running or you have no permission to use it; start it, or check with: docker info"
  at_least "$engine" 25 ||
    fail "Docker Engine $engine is too old: health checks need 25 or later; update it: https://docs.docker.com/engine/install/"
  compose=$(docker compose version --short 2>/dev/null) ||
    fail "Docker Compose is not installed; install the plugin, 2.24 or later: https://docs.docker.com/compose/install/"
  at_least "${compose#v}" 2.24 ||
    fail "Docker Compose $compose is too old; update it to 2.24 or later: https://docs.docker.com/compose/install/"
}

check_uv() {
  command -v uv >/dev/null ||
    fail "uv is not installed; install it with 'pipx install uv', or see https://docs.astral.sh/uv/"
}

# check_node [MINIMUM]
check_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    fail "node or npm is not installed, and the tests of a Node service need both; install Node.js${1:+ $1 or later}: https://nodejs.org/"
  fi
  if ((!$#)); then return; fi
  local version
  version=$(node --version) || fail "node --version fails; install Node.js again: https://nodejs.org/"
  at_least "${version#v}" "$1" ||
    fail "Node.js $version is too old: the Node services need $1 or later; update it: https://nodejs.org/"
}

if ((!$#)); then
  echo "usage: check-tools.sh docker|uv|node[=MINIMUM] …" >&2
  exit 2
fi
for tool; do
  case $tool in
    docker | uv | node) "check_$tool" ;;
    node=?*) check_node "${tool#*=}" ;;
    *)
      echo "check-tools.sh: unknown tool '$tool'; choose from docker, uv and node" >&2
      exit 2
      ;;
  esac
done
