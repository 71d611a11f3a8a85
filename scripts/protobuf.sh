#!/usr/bin/env bash
# Makes the Python module of the client protocol's schema: client_pb2.py and client_pb2.pyi beside client.proto.
#   scripts/protobuf.sh            in place
#   scripts/protobuf.sh FOLDER     below FOLDER instead, to compare
# Needs what scripts/install.sh dev installs (grpcio-tools, which brings its own protoc). PYTHON names another Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="${1:-.}"
python="${PYTHON:-.venv/bin/python}"
if ! "$python" -c "import grpc_tools" 2>/dev/null; then
  echo "flux: grpcio-tools is missing: run scripts/install.sh dev" >&2
  exit 1
fi
schema=flux_gateway/messaging/protobuf/client.proto
# Its path below the root is its name in the process-wide pool of descriptors, where centrifuge-python has
# "client.proto".
"$python" -m grpc_tools.protoc --proto_path=. --python_out="$out" --pyi_out="$out" "$schema"
