#!/usr/bin/env bash
# `flux down` on the cluster that ./start.sh started. --purge removes the state directory too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -x "$here/.venv/bin/flux" ] || { echo "flux: nothing is installed, so nothing runs"; exit 0; }
exec "$here/.venv/bin/flux" --state-dir "${FLUX_STATE_DIR:-$here/.flux}" down "$@"
