#!/usr/bin/env bash
# Runs everything that must hold: lint, types, unit, integration, conformance, browser. Installs what it needs.
#   ./test.sh          everything (at most 15 minutes on 2 cores; Debian packages need root)
#   ./test.sh --fast   lint, types, unit tests (at most 2 minutes, no root)
# Further arguments go to pytest: ./test.sh -k drain
# A test that cannot run here is skipped with its reason; with CI=true such a skip is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fast=no
if [ "${1:-}" = --fast ]; then fast=yes; shift; fi

scripts/install.sh dev
export PATH="$PWD/.venv/bin:$PATH"
if [ "$fast" = no ]; then scripts/install_test_packages.sh; fi

step() { printf '\n== %s\n' "$1"; }
started=$SECONDS
step "lint"
ruff check .
step "types"
mypy
step "tests"
if [ "$fast" = yes ]; then
  pytest tests/unit tests/architecture "$@"
else
  mkdir -p test-output
  pytest --junitxml test-output/junit.xml --durations 10 tests "$@"
fi
printf '\nAll passed in %d seconds.\n' $((SECONDS - started))
