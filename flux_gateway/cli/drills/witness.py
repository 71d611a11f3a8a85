"""What clients see during a drill: talking ones, and new ones, phase by phase."""

import msgspec

from flux_gateway.cli.cluster import Cluster
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan, Report
from flux_gateway.load.newcomers import NewcomerCounts, Newcomers
from flux_gateway.load.verdict import Demands, broken

RATE = 10.0
"""Messages per second and talking client."""

_NEWCOMERS = 20.0
"""New clients per second."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a drill, as clients saw it."""

    title: str
    load: Report
    newcomers: NewcomerCounts
    routed_around: float | None = None
    """Seconds until no proxy sent new sessions to the node; None if that does not apply."""
    broken: tuple[str, ...] = ()
    """The invariants that did not hold."""


class Witness:
    """Talking clients and new clients, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, clients: int) -> None:
        url = f"{cluster.url}/echo"
        self._load = Load(LoadPlan(url=url, clients=clients, rate=RATE))
        self._newcomers = Newcomers(url, _NEWCOMERS)
        self.clients = clients

    async def start(self) -> None:
        """Connect every client. Raises `CommandError` if the cluster does not take them all."""
        await self._load.start()
        if not await self._load.ready(15.0):
            connected = self._load.counts().connected
            raise CommandError(f"only {connected} of {self.clients} clients got a connection; see `flux verify`")
        self._newcomers.start()
        self._load.take_phase()

    def phase(
        self, title: str, codes: frozenset[int] = frozenset(), around: float | None = None, missed: str = ""
    ) -> Phase:
        """End a phase: what happened since the last one, judged. `codes` are the close codes it explains."""
        load, newcomers = self._load.take_phase(), self._newcomers.take()
        faults = [missed] if missed else []
        faults += broken(load, newcomers, Demands(codes=codes))
        if load.counts.connect_failures:
            faults.append(f"{sum(load.counts.connect_failures.values())} reconnects failed")
        return Phase(title=title, load=load, newcomers=newcomers, routed_around=around, broken=tuple(faults))

    async def all_connected(self, seconds: float) -> bool:
        """Wait until every client is connected again."""
        return await self._load.ready(seconds)

    async def stop(self) -> None:
        """Disconnect everyone."""
        await self._newcomers.stop()
        await self._load.stop()
