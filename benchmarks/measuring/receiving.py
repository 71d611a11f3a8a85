"""`Session.receive` by itself, with and without following message boundaries: closer than a whole node shows it."""

import time
from collections.abc import Callable

from benchmarks.peers.stripped import without
from flux_gateway.core.frames import BINARY, Buffer
from flux_gateway.core.session import Session, Traffic
from flux_gateway.load.frames import client_frame

_CALLS = 20_000
_WARM_UP = 2000


def receive_costs(size: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return (with, without): microseconds of processor time per message of `size` bytes, round by round, in turn."""
    message = client_frame(BINARY, bytes(size))
    bare = without(Session.receive, "residue")
    found: tuple[list[float], list[float]] = [], []
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            found[which].append(_cost((Session.receive, bare)[which], message))
    return found


def _cost(receive: Callable[[Session, bytes], bytes], message: bytes) -> float:
    def echo(session: Session, opcode: int, payload: Buffer) -> bytes:
        return session.frame(opcode, payload)

    session = Session("benchmark", echo, connected_at=0.0, max_size=2**20, traffic=Traffic())
    for _ in range(_WARM_UP):
        receive(session, message)
    before = time.process_time()
    for _ in range(_CALLS):
        receive(session, message)
    return (time.process_time() - before) / _CALLS * 1e6
