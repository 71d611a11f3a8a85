"""Storms: so many connects a second are let in; the others wait for their turn, up to a bound."""

import asyncio
from collections import deque

from flux_gateway.messaging.codes import ClientError, ErrorCode

_PATIENCE = 4.0
"""Seconds that anybody waits: SDKs give a command up after 5."""

_STEP = 0.02
"""Seconds between two groups that are let in."""


class Turnstile:
    """Lets `rate` connects a second in, at most `places` wait. A rate of 0 lets everybody in at once."""

    def __init__(self, rate: float, places: int) -> None:
        self._rate, self._places = rate, places
        self._credit = self._burst = max(1.0, rate * _STEP)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._looked_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    async def enter(self) -> None:
        """Return when it is one's turn. Raises `ClientError` 111 (come back later) when too many wait, or too long."""
        if not self._rate:
            return
        self._refill()
        if not self._waiting and self._credit >= 1:
            self._credit -= 1
            return
        if len(self._waiting) >= self._places:
            raise ClientError(ErrorCode.TOO_MANY_REQUESTS)
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        self._start()
        try:
            async with asyncio.timeout(_PATIENCE):
                await turn
        except TimeoutError:
            raise ClientError(ErrorCode.TOO_MANY_REQUESTS) from None

    def close(self) -> None:
        """Let nobody in any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _refill(self) -> None:
        now = self._loop.time()
        self._credit = min(self._burst, self._credit + (now - self._looked_at) * self._rate)
        self._looked_at = now

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(max(_STEP, 1 / self._rate), self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._refill()
        while self._waiting and (self._credit >= 1 or self._waiting[0].done()):
            turn = self._waiting.popleft()
            if not turn.done():  # else its client has left
                self._credit -= 1
                turn.set_result(None)
        if self._waiting:
            self._start()
