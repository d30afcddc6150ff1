#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# deploy-over-ssh.sh VERB [ARG…]: runs deploy/prod/deploy.sh on a host. `init`, `up` and `deploy VERSION`
# first copy the committed files of deploy/prod/ to the host: those of the tag vVERSION if it exists, else
# those of HEAD. Files on the host that git does not know, such as .env and secrets/, stay as they are.
#
# HOST         the host, as HOST or USER@HOST
# DEPLOY_DIR   the folder on the host
# SSH_OPTIONS  more options of ssh
# DIGESTS      the images that may be deployed, as IMAGE@DIGEST
#
# Exit codes: 2 refused, 255 ssh failed, else those of deploy/prod/deploy.sh
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."

refuse() {
  echo "scripts/deploy-over-ssh.sh: $1" >&2
  exit 2
}
host=${HOST:-}
if [[ -z $host || $host == -* ]]; then refuse 'name the host, such as HOST=user@server'; fi
if [[ -z ${DEPLOY_DIR:-} ]]; then refuse 'DEPLOY_DIR is empty; set it to the folder on the host'; fi
if (($# == 0)); then refuse 'name a verb, such as deploy, rollback or status'; fi
if [[ $1 == deploy && -z ${2:-} ]]; then refuse 'name the release, such as VERSION=1.2.3'; fi
read -ra options <<<"${SSH_OPTIONS:-}"
on_host() {
  # shellcheck disable=SC2029 # this side has quoted the words
  ssh ${options[@]+"${options[@]}"} "$host" "$1"
}
printf -v folder %q "$DEPLOY_DIR"
printf -v arguments ' %q' "$@"
printf -v digests %q "${DIGESTS:-}"

if [[ $1 == init || $1 == up || $1 == deploy ]]; then
  commit=$(git rev-parse --verify --quiet "refs/tags/v${2:-}^{commit}" || git rev-parse HEAD)
  git archive "$commit" deploy/prod |
    on_host "mkdir -p $folder && tar -x -C $folder --strip-components=2"
fi
on_host "cd $folder && DIGESTS=$digests ./deploy.sh$arguments"
