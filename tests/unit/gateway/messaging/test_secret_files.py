"""`gateway.messaging.secret_files`: what is in the files, and all that is wrong with them at once."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flux_gateway.cli.main import main
from flux_gateway.core.errors import ConfigError
from flux_gateway.gateway.messaging.secret_files import read_secrets
from flux_gateway.gateway.messaging.settings import MessagingSettings

PEM = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def settings(
    tmp: Path, hmac: bytes | None = None, pem: bytes | None = None, api: bytes | None = None
) -> MessagingSettings:
    paths: dict[str, Any] = {}
    for name, content in (("token_hmac_file", hmac), ("token_public_key_file", pem), ("api_key_file", api)):
        if content is not None:
            (tmp / name).write_bytes(content)
            paths[name] = str(tmp / name)
    return MessagingSettings(**paths)


def test_without_files_there_are_no_secrets(tmp_path: Path) -> None:
    keys, api_key = read_secrets(settings(tmp_path))
    assert (len(keys), api_key) == (0, "")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_break_at_the_end_is_not_part_of_a_secret(end: bytes, tmp_path: Path) -> None:
    secret = b" \x00\xff secret of the tests \n\n"
    keys, api_key = read_secrets(settings(tmp_path, secret + b"x" + end, PEM, b"key-of-the-tests-0123" + end))
    (key,) = keys.candidates("HS256", "")
    assert key.material == secret + b"x"
    assert len(list(keys.candidates("EdDSA", ""))) == 1
    assert api_key == "key-of-the-tests-0123"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_secrets(settings(tmp_path, b"short", b"no key", b"k\xc3\xa9y-of-the-tests-0123"))
    assert [fault.split(": ")[1].split(";")[0] for fault in error.value.faults] == [
        "needs at least 16 bytes", "no PEM block (-----BEGIN PUBLIC KEY-----) in it",
        "has bytes that no header can carry",
    ]  # fmt: skip
    assert error.value.faults[0].startswith(f"messaging.token_hmac_file {tmp_path}/token_hmac_file: ")


def test_missing_empty_and_mistaken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_secrets(MessagingSettings(token_hmac_file=str(tmp_path / "none"), api_key_file=str(tmp_path)))
    assert [fault.split(": ")[1] for fault in error.value.faults] == ["No such file or directory", "Is a directory"]
    with pytest.raises(ConfigError) as error:
        read_secrets(settings(tmp_path, b"\n", api=b"key-of-the-tests\n0123\n"))
    assert [fault.split(": ")[1] for fault in error.value.faults] == ["is empty", "has bytes that no header can carry"]
    with pytest.raises(ConfigError, match="is a public key"):
        read_secrets(settings(tmp_path, PEM))


def test_check_reads_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("secret-of-the-tests-0123\n")
    good = ["gateway", "--check", "--messaging-token-hmac-file", str(tmp_path / "secret")]
    assert main(good) == 0
    assert main([*good, "--messaging-api-key-file", str(tmp_path / "none")]) == 2
    assert "messaging.api_key_file" in capsys.readouterr().err
