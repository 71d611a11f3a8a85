#!/usr/bin/env bash
# The example chat in one line: starts the cluster of this machine unless it is up, then the chat's back end, and
# prints where the page is. Options go to backend.py: examples/chat/run.sh --port 8800. Ctrl-C ends the chat alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
state=${FLUX_STATE_DIR:-$root/.flux}
if ! { [ -x "$root/.venv/bin/flux" ] && "$root/.venv/bin/flux" --state-dir "$state" status >/dev/null 2>&1; }; then
  FLUX_STATE_DIR=$state "$root/start.sh"
fi
exec "$root/.venv/bin/python" "$here/backend.py" --state-dir "$state" "$@"
