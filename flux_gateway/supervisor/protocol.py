"""What commands say to the supervisor over its unix socket: one JSON line each way."""

import socket
from pathlib import Path

import msgspec

from flux_gateway.core.errors import CommandError


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `op`: status, hang, partition, heal, kill, release, restart, scale, stop."""

    op: str
    name: str = ""
    """The process it is about."""
    seconds: float = 30.0
    """How long a fault or a hold lasts; how long clients get at a stop."""
    hold: bool = False
    """kill: do not start it again before `release`, or before `seconds` have passed."""
    count: int = 0
    """scale: gateways wanted."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor knows of one process."""

    name: str
    kind: str
    pid: int | None
    restarts: int
    last_exit: str
    uptime: float
    held: bool
    fault: str
    address: str
    ready: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: either an error, or what was asked."""

    error: str = ""
    ready: bool = False
    """Whether every process is ready."""
    pid: int = 0
    processes: list[ProcessStatus] = []
    note: str = ""


def ask(path: Path, request: Request, patience: float = 10.0) -> Answer:
    """Send a request to the supervisor and wait for its answer (blocking).

    Raises `CommandError` when no supervisor listens, when it does not answer in time, or with its error.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning(f"no cluster runs here ({path.parent}): start one with `flux up`") from None
    except OSError as error:
        raise CommandError(f"the supervisor does not answer: {error}") from error
    try:
        answer = msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError:
        raise CommandError("the supervisor ended before it had answered; `flux logs supervisor` tells why") from None
    if answer.error:
        raise CommandError(answer.error)
    return answer


class NotRunning(CommandError):
    """No supervisor listens in the state directory."""
