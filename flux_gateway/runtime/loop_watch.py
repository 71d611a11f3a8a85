"""How late the event loop is: the delay of a timer that should fire ten times a second."""

import asyncio


class LoopWatch:
    """Measures event-loop lag. Start it inside the running loop; stop it before the loop ends."""

    INTERVAL = 0.1

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self.INTERVAL
        self._timer = self._loop.call_at(self._due, self._tick)
        self._worst: dict[str, float] = {}
        self.lag = 0.0
        """Delay of the last tick, seconds."""

    def _tick(self) -> None:
        now = self._loop.time()
        self.lag = max(0.0, now - self._due)
        for reader, worst in self._worst.items():
            if self.lag > worst:
                self._worst[reader] = self.lag
        self._due = now + self.INTERVAL
        self._timer = self._loop.call_at(self._due, self._tick)

    def age(self) -> float:
        """Seconds since the last tick was due: how stale the loop is right now."""
        return max(0.0, self._loop.time() - self._due)

    def worst(self, reader: str) -> float:
        """Return the largest lag, in seconds, since this reader asked last."""
        worst = max(self._worst.get(reader, 0.0), self.age())
        self._worst[reader] = 0.0
        return worst

    def stop(self) -> None:
        """Cancel the timer."""
        self._timer.cancel()
