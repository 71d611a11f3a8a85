#!/usr/bin/env bash
# `flux verify` on the cluster that ./start.sh started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -x "$here/.venv/bin/flux" ] || { echo "flux: nothing is installed yet: run ./start.sh first" >&2; exit 1; }
exec "$here/.venv/bin/flux" --state-dir "${FLUX_STATE_DIR:-$here/.flux}" verify "$@"
