#!/bin/sh
# Installs a packed release beside the others: install_release.sh PREFIX RELEASE wheelhouse|index
# A release is a virtual environment; the file `complete` is the last thing written.
set -eu
prefix=$1 release=$2 source=$3
target=$prefix/releases/$release
packages=$(mktemp -d "$prefix/packages.XXXXXX")
trap 'rm -rf "$packages" "$prefix/$release.tar"' EXIT
tar -xf "$prefix/$release.tar" -C "$packages"
# Without pip: Debian's python3 alone cannot bring it, and the release has its own.
python3 -m venv --without-pip --clear "$target"
pip() {
  "$target/bin/python" "$(echo "$packages"/pip-*.whl)/pip" --quiet --disable-pip-version-check --no-cache-dir "$@"
}
if [ "$source" = wheelhouse ]; then
  pip install --no-index --find-links "$packages" --require-hashes -r "$packages/requirements.txt"
else
  pip install --only-binary=:all: --require-hashes -r "$packages/requirements.txt"
fi
pip install --no-index --no-deps "$packages"/flux_gateway-*.whl
"$target/bin/flux" --version >/dev/null
touch "$target/complete"
