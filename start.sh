#!/usr/bin/env bash
# Sets everything up in .venv (skipped when nothing changed) and starts the whole cluster on this machine.
# Options go to `flux up`: ./start.sh --gateways 5 --port 8080
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/scripts/install.sh"
exec "$here/.venv/bin/flux" --state-dir "${FLUX_STATE_DIR:-$here/.flux}" up "$@"
