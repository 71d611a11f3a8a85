#!/usr/bin/env bash
# Runs everything that must hold: lint, types, unit, integration, conformance, browser, roles and whole clusters on
# systemd hosts. Installs what it needs.
#   ./test.sh            everything (about an hour on 2 cores; Debian packages and hosts need root)
#   ./test.sh --fast     lint, types, unit tests (some 5 minutes, no root)
#   ./test.sh --vagrant  `vagrant up`, site.yml and checks on real VMs, under emulation where there is no KVM (root)
#   ./test.sh --soak     10 minutes of drains, restarts, kills and hangs under 1,000 talking clients (no root);
#                        its own options follow: ./test.sh --soak --seconds 60 --seed 7
# Further arguments go to pytest: ./test.sh -k drain
# A test that cannot run here is skipped with its reason; with CI=true such a skip is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fast=no vagrant=no soak=no
case "${1:-}" in
  --fast) fast=yes; shift ;;
  --vagrant) vagrant=yes; shift ;;
  --soak) soak=yes; shift ;;
esac

scripts/install.sh dev
export PATH="$PWD/.venv/bin:$PATH"
if [ "$soak" = yes ]; then exec python -m tests.soak "$@"; fi
if [ "$fast" = no ]; then scripts/install_test_packages.sh; fi

step() { printf '\n== %s\n' "$1"; }
started=$SECONDS
if [ "$vagrant" = yes ]; then exec tests/vagrant/lab.sh "$@"; fi
step "lint"
ruff check .
# An inventory that needs no VM.
ANSIBLE_INVENTORY=inventory/hosts.example.yml ansible-lint -q
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
