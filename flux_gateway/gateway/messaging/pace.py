"""How much a client may say a second. Each limit allows a burst of as much as one second does."""


class Bucket:
    """A token bucket. A rate of 0 is no limit."""

    __slots__ = ("_left", "_looked_at", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        """`rate` is what may be taken a second; `now` is monotonic seconds."""
        self._rate = self._left = rate
        self._looked_at = now

    def take(self, amount: float, now: float) -> bool:
        """Take so much; returns False when more has been taken than is allowed. One that is larger passes alone."""
        if not self._rate:
            return True
        self._left = min(self._rate, self._left + (now - self._looked_at) * self._rate)
        self._looked_at = now
        if self._left <= 0:
            return False
        self._left -= amount
        return True


class Pace:
    """The limits of one client: commands and bytes a second."""

    __slots__ = ("commands", "size")

    def __init__(self, commands: float, size: float, now: float) -> None:
        self.commands = Bucket(commands, now)
        self.size = Bucket(size, now)
