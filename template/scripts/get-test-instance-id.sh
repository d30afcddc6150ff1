#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# Prints the id of this checkout's test instance: <branch, at most 20 characters>-<6 hex digits>.
# Every container, network, volume and image of a test run carries it, so that branches, worktrees
# and clones never meet. The digits tell apart what the cut or the lower case made equal.
# TEST_INSTANCE_ID overrides it: lower-case letters, digits and hyphens, at most 40.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help ]]; then
  sed -n '4,7s/^# //p' "$0"
  exit 0
elif (($#)); then
  echo "get-test-instance-id.sh: takes no arguments, was given '$1'" >&2
  exit 2
fi

if [[ -n ${TEST_INSTANCE_ID-} ]]; then
  # Letters are spelt out: in some locales, [a-z] matches upper case too.
  if [[ ${#TEST_INSTANCE_ID} -gt 40 || $TEST_INSTANCE_ID == *[!abcdefghijklmnopqrstuvwxyz0123456789-]* ||
    $TEST_INSTANCE_ID == -* || $TEST_INSTANCE_ID == *- ]]; then
    printf 'TEST_INSTANCE_ID %q must hold only a-z, 0-9 and inner hyphens, at most 40; change or unset it\n' \
      "$TEST_INSTANCE_ID" >&2
    exit 2
  fi
  echo "$TEST_INSTANCE_ID"
  exit 0
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# An unborn branch has a name too; a detached HEAD goes by its tag or its commit.
branch=$(git -C "$root" symbolic-ref --quiet --short HEAD 2>/dev/null ||
  git -C "$root" describe --tags --exact-match 2>/dev/null ||
  git -C "$root" rev-parse --short=12 HEAD 2>/dev/null) || branch=no-git

# In a container the path is the same for every job; the host name, then, is the container's own.
place=$root
if [[ -e /.dockerenv || -e /run/.containerenv ]]; then place=$root@$HOSTNAME; fi

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
name=$(printf '%s' "$branch" | LC_ALL=C tr '[:upper:]' '[:lower:]' | LC_ALL=C tr -cs 'a-z0-9' '-' | cut -c1-20)
name=${name#-}
digits=$(printf '%s\n%s' "$branch" "$place" | sha256 | cut -c1-6)
echo "${name:-branch}-$digits" | sed 's/--*/-/g'
