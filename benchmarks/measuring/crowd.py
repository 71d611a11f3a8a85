"""Many clients, each watched for itself: how long it has waited for an answer, and whether it is still connected."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from benchmarks.measuring.opening import client_socket, open_websocket
from benchmarks.measuring.witness import Witness
from benchmarks.peers import addresses
from flux_gateway.core.errors import CommandError
from flux_gateway.load.handshake import HandshakeFailed
from flux_gateway.runtime.poller import IN, Handler, Poller

_DIALLERS = 32
"""Connections being opened at the same time."""

_LOOK = 0.02
_AGAIN = 0.1
"""Seconds until who has no answer asks again, where messages may be lost."""


class Silence(msgspec.Struct, frozen=True):
    """What an event did to the clients. Seconds."""

    p50: float
    p99: float
    longest: float
    gone: int
    """Clients whose connection was closed, or that were never answered."""
    lost: int
    """Messages without an answer on connections that went on."""
    wrong: int
    """Answers that came twice or out of order."""


class Crowd:
    """Clients of one address, all connected."""

    def __init__(self, number: int, busy: bool) -> None:
        self._poller = Poller(asyncio.get_running_loop(), self._failed)
        self._number, self._busy = number, busy
        self._witnesses: dict[Witness, None] = {}

    async def open(self, address: tuple[str, int]) -> None:
        """Connect everybody. Raises `CommandError` if one cannot."""
        numbers = iter(range(self._number))
        prefix = f"crowd-{os.urandom(4).hex()}"

        async def dial() -> None:
            for number in numbers:
                source = addresses.CLIENTS[number % len(addresses.CLIENTS)]
                sock = client_socket()
                witness = Witness(sock, False, self._ended)
                self._witnesses[witness] = None
                await open_websocket(sock, address, source, f"{prefix}-{number}")
                self._poller.register(sock.fileno(), IN, witness.on_readable)

        tasks = [asyncio.create_task(dial(), name="dial") for _ in range(min(_DIALLERS, self._number))]
        try:
            await asyncio.gather(*tasks)
        except (OSError, HandshakeFailed) as error:
            raise CommandError(f"a client of {address[0]}:{address[1]} cannot connect: {error}") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._busy:
            for witness in list(self._witnesses):
                witness.busy = True
                witness.ask(time.monotonic())

    def close(self) -> None:
        """Hang up on everybody."""
        self._poller.close()
        for witness in self._witnesses:
            witness.sock.close()

    def begin(self) -> None:
        """Whatever silence there was is of no interest."""
        for witness in self._witnesses:
            witness.longest = 0.0

    def ask(self, since: float) -> None:
        """Let everybody send a message, and count its wait from `since`."""
        for witness in list(self._witnesses):
            if not witness.busy:
                witness.ask(since)

    async def answered(self, after: float, seconds: float, *, again: bool = False) -> None:
        """Wait until everybody who is left has had an answer after a moment, or so many seconds.

        With `again`, who has none asks again every 100 ms: the message may have been lost.
        """
        until, repeat = time.monotonic() + seconds, time.monotonic() + _AGAIN
        while (now := time.monotonic()) < until:
            mute = [witness for witness in self._witnesses if witness.answered_at <= after]
            if not mute:
                return
            if again and now >= repeat:
                repeat = now + _AGAIN
                for witness in mute:
                    witness.ask(now)
            await asyncio.sleep(_LOOK)

    def silence(self, after: float) -> Silence:
        """Return what everybody has seen since `begin`; all had to be answered after a moment."""
        there = [witness for witness in self._witnesses if witness.answered_at > after]
        waits = sorted(witness.longest for witness in there)
        return Silence(
            p50=_part(waits, 0.5),
            p99=_part(waits, 0.99),
            longest=waits[-1] if waits else 0.0,
            gone=self._number - len(there),
            lost=sum(witness.messages_lost for witness in there),
            wrong=sum(witness.wrong for witness in there),
        )

    def _ended(self, witness: Witness) -> None:
        if self._witnesses.pop(witness, witness) is None:
            self._poller.unregister(witness.sock.fileno())
            witness.sock.close()

    def _failed(self, fd: int, handler: Handler, error: Exception) -> None:
        """The poller has logged it; that client is gone."""
        self._ended(handler.__self__)  # type: ignore[attr-defined]  # every handler is a method of a witness


def _part(values: Sequence[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0


@asynccontextmanager
async def crowd(number: int, *, busy: bool = False) -> AsyncIterator[Crowd]:
    """Connect so many clients to the cluster. `busy` ones always have one message in flight."""
    clients = Crowd(number, busy)
    try:
        await clients.open((addresses.CLUSTER_HOST, addresses.CLUSTER_PORT))
        yield clients
    finally:
        clients.close()
