#!/usr/bin/env bash
# Kept by the template: copier update merges its changes into this file.
#
# run-integration-tests.sh [ARG…]: starts the stack of all services, runs the integration tests and
# removes the stack. A stack that `make test-infra-up` started is used and not removed. Arguments go to
# the test tool. VERBOSE=1 shows the output of Compose.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/check-tools.sh docker uv
verbose=()
if [[ ${VERBOSE:-0} == 1 ]]; then verbose=(--verbose); fi
# In an adopted project, make reads the pipeline's targets only if a GNUmakefile includes them.
make=(make)
if [[ -f pipeline.mk && ! -f GNUmakefile ]]; then make+=(-f pipeline.mk); fi
exec uv run --script scripts/stack.py ${verbose[@]+"${verbose[@]}"} run full -- \
  "${make[@]}" --no-print-directory test-against-stack -- "$@"
