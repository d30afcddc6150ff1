#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# Prints the test instance id of this checkout: <branch, at most 20 characters>-<6 hex digits>. All
# containers, networks, volumes and images of a test run carry the id, so that branches, worktrees and
# clones do not conflict. The digits differ for branches whose shortened names are equal.
# TEST_INSTANCE_ID overrides the id: lower-case letters, digits and hyphens, at most 40 characters.
set -euo pipefail

if [[ ${1-} == -h || ${1-} == --help ]]; then
  sed -n '4,7s/^# //p' "$0"
  exit 0
elif (($#)); then
  echo "get-test-instance-id.sh takes no arguments: '$1'" >&2
  exit 2
fi

if [[ -n ${TEST_INSTANCE_ID-} ]]; then
  # The letters are listed because [a-z] also matches upper case in some locales.
  if [[ ${#TEST_INSTANCE_ID} -gt 40 || $TEST_INSTANCE_ID == *[!abcdefghijklmnopqrstuvwxyz0123456789-]* ||
    $TEST_INSTANCE_ID == -* || $TEST_INSTANCE_ID == *- ]]; then
    printf 'TEST_INSTANCE_ID %q is invalid: use at most 40 characters of a-z, 0-9 and hyphens, without a hyphen at either end\n' \
      "$TEST_INSTANCE_ID" >&2
    exit 2
  fi
  echo "$TEST_INSTANCE_ID"
  exit 0
fi

# These would point to another folder or repository.
unset CDPATH GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE
root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# symbolic-ref also names a branch without commits. A detached HEAD uses its tag or commit instead.
branch=$(git -C "$root" symbolic-ref --quiet --short HEAD 2>/dev/null ||
  git -C "$root" describe --tags --exact-match 2>/dev/null ||
  git -C "$root" rev-parse --short=12 HEAD 2>/dev/null) || branch=no-git

# In CI containers, every job has the same path. There, their host names differ.
location=$root
if [[ -e /.dockerenv || -e /run/.containerenv ]]; then location=$root@$HOSTNAME; fi

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
name=$(printf '%s' "$branch" | LC_ALL=C tr '[:upper:]' '[:lower:]' | LC_ALL=C tr -cs 'a-z0-9' '-' | cut -c1-20)
name=${name#-}
digits=$(printf '%s\n%s' "$branch" "$location" | sha256 | cut -c1-6)
echo "${name:-branch}-$digits" | sed 's/--*/-/g'
