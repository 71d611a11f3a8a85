"""The connection for commands. Those of one turn of the loop go out in one packet; replies come in their order."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hiredis
import redis.asyncio

from flux_gateway.broker import scripts
from flux_gateway.broker.commands import Argument, pack
from flux_gateway.broker.line import Line
from flux_gateway.broker.link import Link
from flux_gateway.broker.scripts import Script
from flux_gateway.core.errors import BrokerUnavailable

IN_FLIGHT = 10_000
"""Commands that may wait for an answer."""

IN_FLIGHT_BYTES = 64 * 2**20
"""Bytes of such commands."""

_NOT_THE_MASTER = ("READONLY", "NOREPLICAS", "MASTERDOWN")
"""Answers of a Redis that is a replica by now, or a master cut off from its replicas: another one is to be looked for.

Redis before 7 wraps what fails within a script: `ERR Error running script ...: -READONLY You can't write ...`.
"""


class Refused(BrokerUnavailable):
    """Redis answers with an error. `text` is what it says."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"Redis refuses a command: {text}")


class Asked(NamedTuple):
    """A command, and who waits for its answer."""

    command: tuple[Argument, ...]
    again: tuple[Argument, ...] | None
    """What to send instead, if Redis does not know the script."""
    future: "asyncio.Future[Any]"
    sent_at: float
    size: int
    hops: int
    """How often another Redis was named instead."""


class Pipe(Line):
    """Commands to one Redis."""

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        timeout: float,
        changed: Callable[[], None] = lambda: None,
        redirect: Callable[[Asked, str], bool] = lambda asked, error: False,
    ) -> None:
        """`timeout` is how long an answer may take, in seconds: then the connection counts as broken.

        `redirect` is asked about every error before it is handed to the caller; True: it takes care of the command.
        """
        super().__init__(lambda: client, "commands", timeout=timeout, changed=changed)
        self._redirect = redirect
        self._asked: deque[Asked] = deque()
        self._bytes = 0
        self.sharded: bool | None = None
        """Whether this Redis has sharded pub/sub, as it said when it was last connected; None before."""

    def call(self, name: str, key: str, *arguments: Argument) -> "asyncio.Future[Any]":
        """See `Commands`."""
        return self._send((name, key, *arguments)) if self.up else self._failed(self.unavailable())

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> "asyncio.Future[Any]":
        """See `Commands`."""
        if not self.up:
            return self._failed(self.unavailable())
        rest = (len(keys), *keys, *arguments)
        return self._send(("EVALSHA", script.digest, *rest), ("EVAL", script.text, *rest))

    def forward(self, asked: Asked, *, once: bool) -> None:
        """Give a command that another Redis would not carry out. `once`: its slot is on its way to this Redis."""
        if not self.up or self._link is None:
            fail(asked.future, self.unavailable())
            return
        if once:
            self._put(self._link, ("ASKING",), None, self._loop.create_future(), 0)
        self._put(self._link, asked.command, asked.again, asked.future, asked.hops + 1)

    def _send(self, command: tuple[Argument, ...], again: tuple[Argument, ...] | None = None) -> "asyncio.Future[Any]":
        if self._link is None:
            return self._failed(self.unavailable())
        if len(self._asked) >= IN_FLIGHT or self._bytes > IN_FLIGHT_BYTES:
            return self._failed(BrokerUnavailable("Redis does not keep up: too many commands wait for an answer"))
        future: asyncio.Future[Any] = self._loop.create_future()
        self._put(self._link, command, again, future, 0)
        return future

    def _put(
        self,
        link: Link,
        command: tuple[Argument, ...],
        again: tuple[Argument, ...] | None,
        future: "asyncio.Future[Any]",
        hops: int,
    ) -> None:
        data = pack(command)
        self._asked.append(Asked(command, again, future, self._loop.time(), len(data), hops))
        self._bytes += len(data)
        link.write(data)

    def _failed(self, error: BrokerUnavailable) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        fail(future, error)
        return future

    def _receive(self, replies: list[Any]) -> None:
        for reply in replies:
            if not self._asked:
                self.fail("an answer that nobody asked for")
                return
            asked = self._asked.popleft()
            self._bytes -= asked.size
            if isinstance(reply, hiredis.ReplyError):
                self._refused(asked, str(reply))
                if self._link is None:
                    return
            elif not asked.future.done():
                asked.future.set_result(reply)

    def _refused(self, asked: Asked, text: str) -> None:
        if asked.again and text.startswith("NOSCRIPT") and self._link:
            # Somebody has emptied the cache of scripts. Nothing was done, so it can be asked for again.
            self._put(self._link, asked.again, None, asked.future, asked.hops)
            return
        if self._redirect(asked, text):
            return
        fail(asked.future, Refused(text))
        if any(text.startswith(word) or f"-{word}" in text for word in _NOT_THE_MASTER):
            self.fail(text)

    async def _set_up(self) -> None:
        loading = [self._send(("SCRIPT", "LOAD", script.text)) for script in scripts.ALL]
        sharded = self._send(("EVAL", scripts.SHARDED.text, 0))
        for one in loading:
            await one
        self.sharded = bool(await sharded)

    def _drop(self) -> None:
        asked, self._asked, self._bytes = self._asked, deque(), 0
        for one in asked:
            fail(one.future, self.unavailable())

    def _waiting_since(self, _: Link) -> float | None:
        return self._asked[0].sent_at if self._asked else None

    def _ask(self) -> None:
        self._send(("PING",))


def fail(future: "asyncio.Future[Any]", error: BrokerUnavailable) -> None:
    """Let a call fail, if it waits still."""
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody has to wait for it
