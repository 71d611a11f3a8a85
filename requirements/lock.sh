#!/usr/bin/env bash
# Re-locks every requirements/*.txt from pyproject.toml. Needs pip-tools. Index addresses stay out of the files.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(--quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
       --no-annotate --no-header --extra build)
pip-compile "${flags[@]}" --output-file requirements/runtime.txt pyproject.toml
pip-compile "${flags[@]}" --extra embedded --output-file requirements/embedded.txt pyproject.toml
pip-compile "${flags[@]}" --extra deploy --output-file requirements/deploy.txt pyproject.toml
pip-compile "${flags[@]}" --extra embedded --extra dev --output-file requirements/dev.txt pyproject.toml
