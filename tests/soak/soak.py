"""A soak: clients talk without a pause, something befalls the cluster every few seconds, and nobody may notice.

After each event the account is closed: who was disconnected must be explained by it, and only a node that was killed or
hung may have taken messages along. Doubled, reordered and corrupt ones are never explained.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from statistics import median
from typing import Any

import msgspec

from flux_gateway.cli.local import LocalCluster
from flux_gateway.load import Counts, Load, LoadPlan
from tests.cluster import FluxCluster
from tests.soak.books import Books, Usage
from tests.soak.events import HANG, Events

EVERY = 3.0
"""Seconds from one event to the next, or longer where the event itself lasts."""

SETTLE = 2.0
"""Seconds at least after an event: a lost message shows when the next one of that client is answered."""

PATIENCE = 25.0
"""Seconds for the books to balance after an event. A node whose link has flapped is held off for up to 30 s; the
others must have everything long before."""

LARGE = 60_000
"""Bytes of the messages of one client in 25: these are caught in the middle when something dies."""


class Outcome(msgspec.Struct):
    """What came of a soak."""

    seed: int
    events: int = 0
    faults: list[str] = []
    """What must not have happened, a line each; empty when all went well."""
    received: int = 0
    disconnects: int = 0
    lost: int = 0


async def run(cluster: FluxCluster, seconds: float, clients: int, seed: int) -> Outcome:
    """Soak a running cluster of three gateways, and return what was found."""
    return await Soak(cluster, clients, seed).run(seconds)


class Soak:
    """One run."""

    def __init__(self, cluster: FluxCluster, clients: int, seed: int) -> None:
        self._local = LocalCluster(cluster.state_dir)
        self._books = Books(self._local)
        self._events = Events(cluster, self._local, self._books, Random(seed))
        self._clients = clients
        large = self._large = max(1, clients // 25)
        url = f"{cluster.url}/echo"
        self._loads = (
            Load(LoadPlan(url=url, clients=clients - large, rate=1, ramp=300, grace=10)),
            Load(LoadPlan(url=url, clients=large, rate=0.5, size=LARGE, ramp=300, grace=10)),
        )
        self._outcome = Outcome(seed)
        self._usage: list[tuple[float, Mapping[str, Usage]]] = []
        self._closes: Counter[str] = Counter()
        self._started = 0.0

    async def run(self, seconds: float) -> Outcome:
        """Start clients, bring about events for so long, but each kind once at least, and close the account."""
        for load in self._loads:
            await load.start()
        for load in self._loads:
            if not await load.ready(30):
                self._fault("not every client could connect within 30 s")
        self._started = time.monotonic()
        self._take()
        print(f"soak of {seconds:g} s with {self._clients} clients, seed {self._outcome.seed}", flush=True)
        for kind, happen in self._events:
            if time.monotonic() - self._started > seconds and self._outcome.events >= self._events.kinds:
                break
            await self._event(kind, happen)
        reports = [await load.stop() for load in self._loads]
        late = sum(report.counts.lost for report in reports) - self._outcome.lost
        if late:
            self._fault(f"{late} messages had no answer at the end")
        self._outcome.received = sum(report.counts.received for report in reports)
        await self._balance(0, "at the end")
        self._judge_growth()
        return self._outcome

    async def _event(self, kind: str, happen: Callable[[], str]) -> None:
        begun = time.monotonic()
        self._closes = await asyncio.to_thread(self._books.closes)
        what = await asyncio.to_thread(happen)
        took = time.monotonic() - begun
        await asyncio.sleep(max(EVERY - took, SETTLE))
        label = f"{kind} {what}".strip()
        balanced = await self._balance(self._clients, label)
        if kind == "kill proxy":
            balanced += await self._know_all_streams(label)
        counts = self._take()
        closes = await asyncio.to_thread(self._books.closes)
        self._judge(kind, label, counts, closes)
        self._usage.append((begun - self._started, await asyncio.to_thread(self._books.usage)))
        self._outcome.events += 1
        print(
            f"{begun - self._started:7.1f} s  {label:32} {took:5.1f} s, settled {balanced:4.1f} s later;"
            f" {sum(counts.disconnects.values())} disconnects, {counts.lost} lost",
            flush=True,
        )

    def _take(self) -> Counts:
        """Return what the clients have seen since the last call."""
        small, large = (load.take_phase().counts for load in self._loads)
        merged: dict[str, Any] = {}
        for name in small.__struct_fields__:
            one, other = getattr(small, name), getattr(large, name)
            merged[name] = one + other if isinstance(one, int) else Counter(one) + Counter(other)
        return Counts(**merged)

    async def _balance(self, clients: int, when: str) -> float:
        """Wait until proxy, keeper and nodes hold each client once; return the seconds it took."""
        begun = time.monotonic()
        while True:
            found = await asyncio.to_thread(self._books.holders)
            usable = await asyncio.to_thread(self._books.usable)
            if set(found.values()) == {clients} and len(usable) > 1:
                return time.monotonic() - begun
            if time.monotonic() - begun > PATIENCE:
                self._fault(f"{when}: the books do not balance: {found}, expected {clients} each; usable: {usable}")
                return PATIENCE
            await asyncio.sleep(0.2)

    async def _know_all_streams(self, when: str) -> float:
        """Wait until the new proxy knows where all frames begin: until then a node must not be lost as well."""
        begun = time.monotonic()
        while unknown := await asyncio.to_thread(self._books.unknown_streams):
            if time.monotonic() - begun > PATIENCE:
                self._fault(f"{when}: the frames of {unknown} streams are still not known")
                break
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    def _judge(self, kind: str, label: str, counts: Counts, closes: Counter[str]) -> None:
        disconnects = sum(counts.disconnects.values())
        self._outcome.disconnects += disconnects
        self._outcome.lost += counts.lost
        for name in ("doubled", "reordered", "corrupt"):
            if getattr(counts, name):
                self._fault(f"{label}: {getattr(counts, name)} {name}")
        if counts.connect_failures:
            self._fault(f"{label}: clients could not connect: {dict(counts.connect_failures)}")
        mid_frame = min(closes["mid-frame"] - self._closes["mid-frame"], self._large)
        explained = {
            # The killed process took its counters along; the new one counts from 0.
            "kill proxy": min(closes["given up"], self._large + self._clients // 100),
            "kill node": mid_frame,
            "hang node": mid_frame,
        }.get(kind, 0)
        if disconnects > explained:
            self._fault(f"{label}: {disconnects} disconnects {dict(counts.disconnects)}, {explained} explained")
        # What was inside the process, or what clients went on saying to it until it was left.
        may_be_lost = {"kill node": self._clients / 2, "hang node": self._clients * HANG}.get(kind, 0)
        if counts.lost > may_be_lost:
            self._fault(f"{label}: {counts.lost} messages lost, {may_be_lost:g} explained")

    def _fault(self, text: str) -> None:
        print(f"FAULT  {text}", flush=True)
        self._outcome.faults.append(text)

    def _judge_growth(self) -> None:
        """Compare the last third with the first; processes that were restarted count like those that were not."""
        third = len(self._usage) // 3
        if third < 2:
            return
        for kind in sorted({kind for _, usage in self._usage for kind in usage}):
            samples = [usage[kind] for _, usage in self._usage if kind in usage]
            first, last = samples[:third], samples[-third:]
            for name, share, more in (("rss", 0.15, 12 * 2**20), ("files", 0.0, 20), ("tasks", 0.1, 10)):
                before = median(getattr(one, name) for one in first)
                after = median(getattr(one, name) for one in last)
                if after > before * (1 + share) + more:
                    self._fault(f"{kind}: {name} has grown from {before:,.0f} to {after:,.0f}")
