"""A connection to Redis that comes back: it is opened again when it broke, and broken when Redis has gone silent."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import redis.asyncio

from flux_gateway.broker.link import Link
from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

QUIET = 2.0
"""Seconds without a word from Redis after which it is asked whether it is still there."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds before the connection is tried again; doubled each time, and shortened at random by up to a half."""

_TICK = 0.25
"""Seconds between two looks at the clock."""


class Line(ABC):
    """Keeps a connection open in a task of its own. It is `up` while everything is set up on it."""

    def __init__(
        self, choose: Callable[[], "redis.asyncio.Redis"], name: str, *, timeout: float, changed: Callable[[], None]
    ) -> None:
        """`choose` returns whom to connect to, asked anew each time. `timeout` in seconds for an answer.

        `changed` is called whenever `up` has changed.
        """
        self._choose = choose
        self._name = name
        self._timeout = timeout
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._why = "not connected yet"
        self._closed = False
        self.up = False

    async def start(self) -> None:
        """Begin, and return when the first try has come to an end, whatever came of it."""
        self.begin()
        await self.tried()

    def begin(self) -> None:
        """Begin to connect."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._keep(), name=f"broker {self._name}")

    async def tried(self) -> None:
        """Wait until the first try has come to an end."""
        await self._tried.wait()

    async def close(self) -> None:
        """End the connection for good. What waits for an answer fails."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def fail(self, why: str) -> None:
        """Break the connection: it cannot be relied on any more."""
        if self._link is not None:
            self._link.end(why)
            self._down(why)

    def unavailable(self) -> BrokerUnavailable:
        """Return the error of a call that cannot be carried out now."""
        return BrokerUnavailable(f"Redis does not answer: {self._why}")

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._closed:
                pause = _FIRST_PAUSE if await self._tried_once() else min(2 * pause, _LONGEST_PAUSE)
                self._tried.set()
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, keeps no secret
        finally:
            self._tried.set()

    async def _tried_once(self) -> bool:
        try:
            return await self._connected()
        except Exception:
            # Whatever it is, without another try the node would be without Redis for ever.
            log.exception("the connection to Redis failed in an unforeseen way")
            return False

    async def _connected(self) -> bool:
        """Connect once, and stay until the connection is lost. Tell whether it was ever up."""
        try:
            link = await Link.open(self._choose(), self._receive)
        except BrokerUnavailable as error:
            self._complain(str(error))
            return False
        if self._closed:
            # redis-py has been seen to lose a cancellation on its way.
            await link.close()
            return False
        self._link = link
        link.lost.add_done_callback(lambda lost: self._down(lost.result(), link))
        watch = asyncio.create_task(self._watch(link), name=f"broker {self._name} watch")
        up = False
        try:
            await self._set_up()
            if self._link is link:
                up = self.up = True
                log.info("connected to Redis", extra=fields(line=self._name))
                self._tried.set()
                self._changed()
            await asyncio.wait((link.lost,))
        except BrokerUnavailable as error:
            self._complain(str(error))
        finally:
            watch.cancel()
            self.fail("closed")
            await link.close()
        return up

    def _complain(self, why: str) -> None:
        """Say once what is the matter, however often it is tried."""
        if why != self._why:
            log.warning("no connection to Redis", extra=fields(line=self._name, reason=why))
        self._why = why

    def _down(self, why: str, link: Link | None = None) -> None:
        if self._link is None or (link is not None and self._link is not link):
            return
        was_up, self.up, self._link = self.up, False, None
        self._why = why
        self._drop()
        if was_up:
            if not self._closed:
                log.warning("lost the connection to Redis", extra=fields(line=self._name, reason=why))
            self._changed()

    async def _watch(self, link: Link) -> None:
        """Look at the clock: a peer that hangs, or is cut off, ends no connection by itself."""
        while True:
            await asyncio.sleep(_TICK)
            now = self._loop.time()
            if self._link is not link:
                return
            since = self._waiting_since(link)
            if since is None:
                if now - link.heard_at > QUIET:
                    self._ask()
            elif now - since > self._timeout:
                self.fail(f"no answer within {self._timeout:g} s")
                return

    @abstractmethod
    async def _set_up(self) -> None:
        """Make a fresh connection ready. Raises `BrokerUnavailable`."""

    @abstractmethod
    def _receive(self, replies: list[Any]) -> None:
        """Take what came in one go."""

    @abstractmethod
    def _drop(self) -> None:
        """The connection is gone: whatever waits for an answer must fail, with `unavailable`."""

    @abstractmethod
    def _waiting_since(self, link: Link) -> float | None:
        """Return since when Redis owes an answer, in the loop's seconds; None if it owes none."""

    @abstractmethod
    def _ask(self) -> None:
        """Ask Redis for a sign of life."""
