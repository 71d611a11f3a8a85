"""What clients see during a drill: talking ones, and new ones, phase by phase."""

import math

import msgspec

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.drills.moves import Moved, MoveWatch
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan, Report
from flux_gateway.load.newcomers import NewcomerCounts, Newcomers
from flux_gateway.load.verdict import Demands, broken

RATE = 10.0
"""Messages per second and talking client."""

_NEWCOMERS = 20.0
"""New clients per second."""

_CUT = 0.01
"""Part of the clients that a sudden end may catch in the middle of a frame, or in the memory of a dead proxy."""

_CLOSES = frozenset({1012, 1006})
"""How those are closed: with a close frame where the stream towards the client allows it, else by the end of TCP."""


class Allowance(msgspec.Struct, frozen=True):
    """What clients may lose in a phase. Nothing in a planned one."""

    lost: int = 0
    """Messages in flight in a process that died or fell silent."""
    closed: int = 0
    """Clients closed because their stream was cut in the middle of a frame."""
    retried: int = 0
    """New clients that had to try twice: their handshake was in the hands of a process that died."""

    def after(self, phase: "Phase") -> "Allowance":
        """Return what is left of it."""
        counts = phase.load.counts
        return Allowance(
            lost=max(0, self.lost - counts.lost),
            closed=max(0, self.closed - sum(counts.disconnects.values())),
            retried=max(0, self.retried - phase.newcomers.retried),
        )


NOTHING = Allowance()


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a drill, as clients saw it."""

    title: str
    load: Report
    newcomers: NewcomerCounts
    moves: Moved
    allowed: Allowance
    routed_around: float | None = None
    """Seconds until no proxy sent new sessions to the node; None if that does not apply."""
    broken: tuple[str, ...] = ()
    """The invariants that did not hold."""


class Witness:
    """Talking clients and new clients, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, clients: int) -> None:
        url = f"{cluster.url}/echo"
        self._load = Load(LoadPlan(url=url, clients=clients, rate=RATE))
        self._newcomers = Newcomers(url, _NEWCOMERS, retries=1)
        self._moves = MoveWatch(cluster)
        self.clients = clients

    async def start(self) -> None:
        """Connect every client. Raises `CommandError` if the cluster does not take them all."""
        await self._load.start()
        if not await self._load.ready(15.0):
            connected = self._load.counts().connected
            raise CommandError(f"only {connected} of {self.clients} clients got a connection; see `flux verify`")
        self._newcomers.start()
        await self._moves.start()
        self._load.take_phase()

    def cut(self) -> int:
        """Return how many clients a sudden end may catch in the middle of a frame."""
        return math.ceil(self.clients * _CUT)

    async def phase(
        self, title: str, allowed: Allowance = NOTHING, around: float | None = None, missed: str = ""
    ) -> Phase:
        """End a phase: what happened since the last one, judged. `missed` is what did not happen in the cluster."""
        moves = await self._moves.take()
        load, newcomers = self._load.take_phase(), self._newcomers.take()
        codes = _CLOSES if allowed.closed else frozenset()
        faults = [missed] if missed else []
        faults += broken(load, newcomers, Demands(codes=codes, closed=allowed.closed, lost=allowed.lost))
        if newcomers.retried > allowed.retried:
            faults.append(f"{newcomers.retried} new clients had to try twice; allowed were {allowed.retried}")
        if load.counts.connect_failures:
            faults.append(f"{sum(load.counts.connect_failures.values())} reconnects failed")
        return Phase(
            title=title, load=load, newcomers=newcomers, moves=moves, allowed=allowed, routed_around=around,
            broken=tuple(faults),
        )  # fmt: skip

    async def all_connected(self, seconds: float) -> bool:
        """Wait until every client is connected again."""
        return await self._load.ready(seconds)

    async def stop(self) -> None:
        """Disconnect everyone."""
        await self._moves.stop()
        await self._newcomers.stop()
        await self._load.stop()
