"""What is said over a link goes out in order, by one task, whoever says it."""

import asyncio
import logging
from typing import Protocol

import msgspec

from flux_gateway.core import link
from flux_gateway.runtime.spread import within

log = logging.getLogger(__name__)


class Socket(Protocol):
    """Either end of a WebSocket of aiohttp."""

    async def send_bytes(self, data: bytes) -> None:
        """Send one message. Raises ConnectionError when the connection is gone."""


class Outbox:
    """Messages on their way to the other end. Own `write` as a task."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._waiting: list[msgspec.Struct] = []
        self._news = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()

    def say(self, message: msgspec.Struct) -> None:
        """Send a message, after all that were given before it."""
        self._waiting.append(message)
        self._sent.clear()
        self._news.set()

    async def write(self) -> None:
        """Send what is said until the link breaks."""
        while True:
            await self._news.wait()
            self._news.clear()
            messages, self._waiting = self._waiting, []
            for message in messages:
                try:
                    await self._socket.send_bytes(link.encode(message))
                except ConnectionError:
                    log.debug("link closed while something was said")  # the reading side notices too
                    return
            if not self._waiting:
                self._sent.set()

    async def sent(self, seconds: float) -> bool:
        """Wait until everything said so far has been sent, at most so long. Returns whether it has."""
        return await within(self._sent, seconds)
