"""What clients see during a drill: talking ones, and new ones, phase by phase."""

import msgspec

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.drills.prober import Prober, Probes
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Load, LoadPlan, Report

RATE = 10.0
"""Messages per second and talking client."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a drill, as clients saw it."""

    title: str
    load: Report
    probes: Probes
    routed_around: float | None = None
    """Seconds until no proxy sent new sessions to the node; None if that does not apply."""
    broken: tuple[str, ...] = ()
    """The invariants that did not hold."""


class Witness:
    """Talking clients and new clients, from `start` to `stop`."""

    def __init__(self, cluster: Cluster, clients: int) -> None:
        self._load = Load(LoadPlan(url=f"{cluster.url}/echo", clients=clients, rate=RATE))
        self._prober = Prober(cluster.url)
        self.clients = clients

    async def start(self) -> None:
        """Connect every client. Raises `CommandError` if the cluster does not take them all."""
        await self._load.start()
        if not await self._load.ready(15.0):
            connected = self._load.counts().connected
            raise CommandError(f"only {connected} of {self.clients} clients got a connection; see `flux verify`")
        self._prober.start()
        self._load.take_phase()

    def phase(
        self, title: str, codes: frozenset[int] = frozenset(), around: float | None = None, missed: str = ""
    ) -> Phase:
        """End a phase: what happened since the last one, judged. `codes` are the close codes it explains."""
        load, probes = self._load.take_phase(), self._prober.take()
        broken = [missed] if missed else []
        counts = load.counts
        for name in ("lost", "doubled", "reordered", "corrupt"):
            if getattr(counts, name):
                broken.append(f"{getattr(counts, name)} messages {name}")
        unexplained = {code: count for code, count in counts.disconnects.items() if code not in codes}
        broken += [f"{count} clients closed with {code}" for code, count in unexplained.items()]
        if counts.connect_failures:
            broken.append(f"{sum(counts.connect_failures.values())} reconnects failed")
        if probes.failed:
            broken.append(f"{probes.failed} new connections failed")
        if not counts.received:
            broken.append("no message came back")
        return Phase(title=title, load=load, probes=probes, routed_around=around, broken=tuple(broken))

    async def all_connected(self, seconds: float) -> bool:
        """Wait until every client is connected again."""
        return await self._load.ready(seconds)

    async def stop(self) -> None:
        """Disconnect everyone."""
        await self._prober.stop()
        await self._load.stop()
