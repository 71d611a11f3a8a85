"""The schema is the published one, and the committed module is what the schema makes."""

import subprocess
import sys
from pathlib import Path

import centrifuge.protocol.client_pb2 as published  # type: ignore[import-untyped, unused-ignore]
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import flux_gateway
from flux_gateway.messaging.protobuf import client_pb2

ROOT = Path(flux_gateway.__file__).parents[1]
FOLDER = "flux_gateway/messaging/protobuf"


@pytest.mark.parametrize("name", ["client_pb2.py", "client_pb2.pyi"])
def test_the_module_is_what_the_script_makes(name: str, tmp_path: Path) -> None:
    script = [str(ROOT / "scripts" / "protobuf.sh"), str(tmp_path)]
    subprocess.run(script, env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}, check=True, timeout=60)
    assert (tmp_path / FOLDER / name).read_text() == (ROOT / FOLDER / name).read_text()


def test_the_schema_is_that_of_the_installed_sdk() -> None:
    """Names, numbers, types and reservations: everything but the names of file and package."""
    ours, theirs = FileDescriptorProto(), FileDescriptorProto()
    client_pb2.DESCRIPTOR.CopyToProto(ours)
    published.DESCRIPTOR.CopyToProto(theirs)
    as_text = str(ours.message_type[:]).replace(f".{ours.package}.", f".{theirs.package}.")
    assert as_text == str(theirs.message_type[:])
    assert len(ours.message_type) > 30
