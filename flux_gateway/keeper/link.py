"""A connection to the keeper: questions and answers, one at a time."""

import asyncio
import socket
from collections.abc import Callable, Sequence

import msgspec

from flux_gateway.keeper import protocol
from flux_gateway.keeper.protocol import Answer, Count, Counted, Replaced, Request

_PATIENCE = 5.0
"""Seconds the keeper gets for an answer."""


class ReplacedError(ConnectionError):
    """Another process is the keeper's proxy now."""


class Link:
    """Connected when made. Raises OSError when nobody listens. `on_lost` is called when the keeper has gone."""

    def __init__(self, path: str, on_lost: Callable[[], None] = lambda: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._answer: asyncio.Future[tuple[Answer, list[int]]] | None = None
        self._error: Exception | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._read)

    async def ask(self, request: Request, descriptors: Sequence[int] = ()) -> tuple[Answer, list[int]]:
        """Return the answer and the descriptors that came with it; they are the caller's.

        Raises OSError when the keeper has gone, and `TimeoutError` when it does not answer: close the link then.
        """
        self.check()
        protocol.send(self._socket, request, descriptors)
        self._answer = self._loop.create_future()
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._answer
        finally:
            self._answer = None

    def check(self) -> None:
        """Raise what has ended the link, if it has ended."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End it."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        try:
            data, descriptors = protocol.receive(self._socket)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            answer = protocol.decode_answer(data) if data else None
        except msgspec.DecodeError as error:
            protocol.close(descriptors)
            self._lose(ConnectionError(f"not an answer: {error}"))
            return
        if answer is None:
            self._lose(ConnectionResetError("it has ended"))
        elif isinstance(answer, Replaced):
            self._lose(ReplacedError("another process is its proxy now"))
        elif self._answer is None or self._answer.done():
            protocol.close(descriptors)
            self._lose(ConnectionError("an answer without a question"))
        else:
            self._answer.set_result((answer, descriptors))

    def _lose(self, error: Exception) -> None:
        self._loop.remove_reader(self._socket)
        self._error = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self._on_lost()


async def count(path: str) -> int:
    """Return how many connections the keeper at this path keeps. Raises OSError, also when it does not answer."""
    link = Link(path)
    try:
        answer, _ = await link.ask(Count())
    finally:
        link.close()
    if not isinstance(answer, Counted):
        raise ConnectionError(f"not an answer to the question: {answer}")
    return answer.count
