"""When a proxy trusts its link to a node: silence, rise, hold-off and slow start (design, section 6)."""

from enum import StrEnum

import msgspec


class LinkState(StrEnum):
    """What a proxy thinks of a node by its link."""

    DOWN = "down"
    """Never connected, or closed."""
    SUSPECT = "suspect"
    """Connected, but silent for too long or not yet trusted again."""
    UP = "up"


class LinkPolicy(msgspec.Struct, frozen=True):
    """How quickly a link falls and how carefully it rises. All times in seconds."""

    interval: float = 1.0
    silence: float = 2.9
    """Suspect after this long without a word: three misses, seen before the third second is over."""
    rise: int = 2
    """Answers in a row that make a fallen link good again."""
    hold_off: float = 1.0
    """Wait after the second unplanned fall; doubles with each further one."""
    hold_off_max: float = 30.0
    forgive: float = 60.0
    """Up for this long, and earlier falls are forgotten."""
    slow_start: float = 10.0
    """A node that rose again takes its full share only after this long."""


class LinkHealth:
    """The state machine of one link. Every method takes `now`, monotonic seconds."""

    __slots__ = ("_answers", "_falls", "_heard_at", "_held_until", "_policy", "_up_since", "planned", "state")

    def __init__(self, policy: LinkPolicy) -> None:
        self._policy = policy
        self.state = LinkState.DOWN
        self._answers = 0
        self._falls = 0
        self._heard_at = 0.0
        self._held_until = 0.0
        self._up_since: float | None = None
        self.planned = False
        """The node has said that it drains or stops: what follows is no flap."""

    @property
    def heard_at(self) -> float:
        """When the node was heard last; 0 if never."""
        return self._heard_at

    def connected(self, now: float) -> None:
        """The link's connection is open; trust comes with the first answers."""
        self._heard_at = now
        self._answers = 0
        self.planned = False
        self.state = LinkState.SUSPECT

    def heard(self, now: float) -> None:
        """An answer arrived."""
        self._heard_at = now
        self._answers += 1
        if self.state is LinkState.UP or now < self._held_until:
            return
        if self._answers >= (self._policy.rise if self._falls else 1):
            self.state = LinkState.UP
            self._up_since = now

    def excuse(self, seconds: float) -> None:
        """This process itself stood still for so long: the silence meanwhile is not the node's."""
        if self._heard_at:
            self._heard_at += seconds

    def tick(self, now: float) -> None:
        """Time has passed; notice silence, and forgive old falls."""
        if self.state is LinkState.UP:
            if now - self._heard_at >= self._policy.silence:
                self._fall(now, LinkState.SUSPECT)
            elif self._up_since is not None and now - self._up_since >= self._policy.forgive:
                self._falls = 0

    def closed(self, now: float) -> None:
        """The link's connection ended."""
        if self.state is LinkState.UP and not self.planned:
            self._fall(now, LinkState.DOWN)
        self.state = LinkState.DOWN
        self._answers = 0

    def ramp(self, now: float) -> float:
        """Return the part of its share, above 0 up to 1, that the node should take now."""
        if not self._falls or self._up_since is None or self._policy.slow_start <= 0:
            return 1.0
        return min(1.0, max(0.05, (now - self._up_since) / self._policy.slow_start))

    def _fall(self, now: float, state: LinkState) -> None:
        self._falls += 1
        self._answers = 0
        self.state = state
        if self._falls > 1:
            wait = self._policy.hold_off * 2.0 ** min(self._falls - 2, 16)
            self._held_until = now + min(self._policy.hold_off_max, wait)
