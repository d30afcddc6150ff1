#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# run-integration-tests.sh [ARG…]: the integration tests, against the whole stack, which is started for
# them and removed after, unless `make test-infra-up` keeps it. Arguments go to the test tool;
# VERBOSE=1 shows what Compose does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/check-tools.sh docker uv
verbose=()
if [[ ${VERBOSE:-0} == 1 ]]; then verbose=(--verbose); fi
exec uv run --script scripts/stack.py ${verbose[@]+"${verbose[@]}"} run full -- \
  make --no-print-directory test-against-stack -- "$@"
