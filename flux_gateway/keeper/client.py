"""A proxy's end of its keeper: what to keep is queued, and told in batches by one task that never blocks the loop."""

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from flux_gateway.keeper import protocol
from flux_gateway.keeper.link import Link, ReplacedError
from flux_gateway.keeper.protocol import PACKET, Count, Deposit, Forget, HandOver, Withdraw
from flux_gateway.keeper.taking import Kept, Taking
from flux_gateway.runtime.logging import fields

__all__ = ["Keeper", "Kept"]

log = logging.getLogger(__name__)

_PAUSE = 0.1
"""Seconds between two attempts to reach a keeper that does not listen."""


class _Wanted(NamedTuple):
    meta: bytes
    client: socket.socket
    backend: socket.socket


class Keeper:
    """Make it inside the running loop, own `run` as a task, and cancel that in the end.

    `on_connected` is called after every connect but the first: whatever the keeper had may be lost, so deposit all
    connections again. It must not raise.
    """

    def __init__(self, path: str, on_connected: Callable[[], None]) -> None:
        self._path, self._on_connected = path, on_connected
        self._deposits: OrderedDict[str, _Wanted] = OrderedDict()
        self._withdrawals: OrderedDict[str, None] = OrderedDict()
        self._blobs: dict[str, bytes] = {}
        """Blobs to be sent."""
        self._handed: dict[str, bytes] = {}
        """All blobs, for a keeper that has to be told again."""
        self._there: set[str] = set()
        """Keys the keeper may have."""
        self._work, self._settled = asyncio.Event(), asyncio.Event()
        self._taking: Taking | None = None
        self._forget = False
        """The keeper has connections that nobody took: it must close them."""
        self.connected = False

    # What the proxy asks for. Nothing here waits but `take` and `flush`.

    async def take(self, seconds: float) -> list[Kept]:
        """Return everything that is kept; the sockets are the caller's, and stay deposited.

        Call it once, before the first deposit. Without an answer in so many seconds it returns nothing, and the keeper
        will be told to close what it has: nobody else is going to serve it.
        """
        self._taking = taking = Taking()
        self._wake()
        try:
            async with asyncio.timeout(seconds):
                await taking.finished.wait()
        except TimeoutError:
            log.error("nothing taken over: the keeper has not answered", extra=fields(keeper=self._path, after=seconds))
            self._forget = True
            taking.drop()
            return []
        finally:
            self._taking = None
        found = taking.found()
        self._there.update(kept.key for kept in found)
        if taking.interrupted:  # by a keeper that has ended: the next one has nothing
            for kept in found:
                self.deposit(kept.key, kept.meta, kept.client, kept.backend)
        return found

    def deposit(self, key: str, meta: bytes, client: socket.socket, backend: socket.socket) -> None:
        """Have a connection kept, in place of what is kept under its key. The descriptors are read when it is sent.

        Raises ValueError for a meta larger than 32 KiB.
        """
        if len(meta) > PACKET:
            raise ValueError(f"meta of {len(meta)} bytes: the keeper takes {PACKET}")
        self._withdrawals.pop(key, None)
        self._drop_blob(key)
        self._deposits[key] = _Wanted(meta, client, backend)
        self._wake()

    def withdraw(self, key: str) -> None:
        """Have a connection closed. Shut the sockets down before: until the keeper hears of it, it holds them open."""
        self._deposits.pop(key, None)
        self._drop_blob(key)
        if key in self._there:
            self._there.discard(key)
            self._withdrawals[key] = None
            self._wake()

    def hand_over(self, key: str, blob: bytes) -> None:
        """Leave the relay state of a deposited connection to the next process. A later deposit discards it."""
        self._blobs[key] = self._handed[key] = blob
        self._wake()

    async def flush(self, seconds: float) -> bool:
        """Wait until the keeper has confirmed all of the above; False if it has not in so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            log.error("the keeper has not confirmed everything", extra=fields(keeper=self._path, after=seconds))
        return self._settled.is_set()

    def _drop_blob(self, key: str) -> None:
        self._blobs.pop(key, None)
        self._handed.pop(key, None)

    def _wake(self) -> None:
        self._settled.clear()
        self._work.set()

    # The task.

    async def run(self) -> None:
        """Stay connected and carry out what is queued. Ends only by being cancelled."""
        connects, complained, replaced = 0, False, False
        while True:
            try:
                link = Link(self._path, self._work.set)
            except OSError as error:
                if not complained:
                    log.warning("keeper not reachable: %s", error.strerror, extra=fields(keeper=self._path))
                complained = True
                await asyncio.sleep(_PAUSE)
                continue
            try:
                await link.ask(Count())  # a socket in a backlog is no keeper yet
                log.info("keeper connected", extra=fields(keeper=self._path))
                self.connected, complained = True, False
                connects += 1
                if connects > 1:
                    self._tell_again()
                await self._serve(link)
            except ReplacedError:
                log.error("another process is the keeper's proxy now", extra=fields(keeper=self._path))
                replaced = True
            except (OSError, TimeoutError) as error:
                if not complained:
                    reason = str(error) or "it does not answer"
                    log.warning("keeper lost: %s", reason, extra=fields(keeper=self._path))
                complained = True
            finally:
                self.connected = False
                self._settled.clear()
                link.close()
            if replaced:
                await asyncio.get_running_loop().create_future()  # to go back would drive that one out
            await asyncio.sleep(_PAUSE)

    def _tell_again(self) -> None:
        handed = self._handed.copy()  # deposits discard them
        self._on_connected()
        self._handed, self._blobs = handed, handed.copy()

    async def _serve(self, link: Link) -> None:
        while True:
            link.check()
            if self._forget:
                await link.ask(Forget())
                self._forget = False
            elif self._taking is not None and not self._taking.finished.is_set():
                await self._taking.take_from(link)
            elif self._withdrawals:
                await self._send_withdrawals(link)
            elif self._deposits:
                await self._send_deposits(link)
            elif self._blobs:
                await self._send_blobs(link)
            else:
                self._settled.set()
                await self._work.wait()
                self._work.clear()

    async def _send_withdrawals(self, link: Link) -> None:
        keys = [self._withdrawals.popitem(last=False)[0] for _ in range(min(len(self._withdrawals), protocol.BATCH))]
        try:
            await link.ask(Withdraw(keys))
        except BaseException:
            # Deposits and blobs need no such care: all of them come again after the next connect.
            self._withdrawals.update((key, None) for key in keys if key not in self._deposits)
            raise

    async def _send_deposits(self, link: Link) -> None:
        entries: list[tuple[str, bytes]] = []
        descriptors: list[int] = []
        size = 0
        while self._deposits and not protocol.full(len(entries), size):
            key, wanted = self._deposits.popitem(last=False)
            pair = (wanted.client.fileno(), wanted.backend.fileno())
            if -1 in pair:
                log.error("not deposited: its socket has been closed without a withdrawal", extra=fields(session=key))
                continue
            entries.append((key, wanted.meta))
            descriptors += pair
            size += len(wanted.meta)
        if entries:
            self._there.update(key for key, _ in entries)
            await link.ask(Deposit(entries), descriptors)

    async def _send_blobs(self, link: Link) -> None:
        handing, self._blobs = self._blobs, {}
        for pieces in protocol.cut(handing.items()):
            await link.ask(HandOver(pieces))
