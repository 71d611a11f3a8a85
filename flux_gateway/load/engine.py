"""The load run itself: resolves, ramps up, gives every client its turns, ends, and reports."""

import asyncio
import socket
import time
from collections.abc import Callable
from time import monotonic, monotonic_ns

from flux_gateway.core.errors import CommandError
from flux_gateway.core.histogram import Histogram
from flux_gateway.load.client import Client
from flux_gateway.load.counts import Counts, Latency, Report
from flux_gateway.load.pace import Pace
from flux_gateway.load.plan import LoadPlan, parse_url
from flux_gateway.load.run import CLOSE_SECONDS, Run

_TICK = 0.001
"""Seconds between looks at the clock while turns are due: messages leave in groups of `rate * clients / 1000`."""
_SWEEP = 0.1
"""Seconds between looks at deadlines."""
_MOST_DIALS = 64
"""Connections begun in one tick, so that a mass return does not hold up messages."""
_LOOK = 0.02


class Load:
    """One load run on the running loop. Not to be used twice.

    `start`, then anything of `ready`, `finished`, `counts`, `take_phase`, then `stop`. No client has a task, timer or
    queue of its own: one timer serves all, sockets are served by a `Poller`.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self._run: Run | None = None
        self._clients: list[Client] = []
        self._turn = 0
        self._timer: asyncio.Handle | None = None
        self._last_sweep = 0.0
        self._total = Histogram()
        self._total_silence = 0.0
        self._total_return = 0.0

    async def start(self) -> None:
        """Begin to open connections and to send. Raises `CommandError` if the URL's host has no address."""
        target = parse_url(self.plan.url)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise CommandError(f"{self.plan.url}: {target.host} has no address: {error.strerror}") from error
        run = self._run = Run(self.plan, loop, found[0][0], found[0][4])
        self._clients = [Client(run, index) for index in range(self.plan.clients)]
        now = self._started = monotonic()
        self._cpu_started = time.process_time()
        self._dials = Pace(self.plan.ramp, now)
        self._dialled = 0
        self._sends = Pace(self.plan.rate * self.plan.clients, now) if self.plan.rate else None
        self._previous = run.counts(0)
        self._phase_started, self._phase_cpu = now, self._cpu_started
        self._last_sweep = now
        self._loop = loop
        self._tick()

    async def ready(self, timeout: float) -> bool:  # noqa: ASYNC109  the answer is False, not an exception
        """Wait up to `timeout` seconds until every client is connected at the same time; tell whether they are."""
        return await self._wait(lambda: self._state.connected >= self.plan.clients, monotonic() + timeout)

    async def finished(self) -> None:
        """Wait until the plan's duration, counted from the end of the ramp, is over; forever if it has none."""
        await self._wait(lambda: False, self.ends_at)

    @property
    def ends_at(self) -> float:
        """When the duration is over, in monotonic seconds; infinity without one."""
        seconds = float("inf") if self.plan.duration is None else self.plan.ramp_seconds + self.plan.duration
        return self._started + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started

    @property
    def remaining(self) -> float:
        """Seconds until the duration is over (0 from then on, and when the run has broken); infinity without one."""
        return 0.0 if self._state.fault is not None else max(0.0, self.ends_at - monotonic())

    async def stop(self, grace: float | None = None) -> Report:
        """End the run and return the report of all of it.

        Stops sending, waits up to `grace` seconds (the plan's, unless given) for outstanding answers, closes every
        connection with code 1000, and leaves no socket open, also when cancelled. Raises the exception that broke the
        load client itself, if one did.
        """
        run = self._state
        # From here on nobody dials again: who is away now is away, and the grace period is nobody's return.
        self._note_returning()
        absent = self._absent
        run.sending = False
        cpu, ended = self._cpu_started, self._started
        try:
            patience = self.plan.grace if grace is None else grace
            await self._wait(lambda: not run.outstanding, monotonic() + patience)
            # The closing handshakes are not part of what is measured.
            cpu, ended = time.process_time(), monotonic()
            self._note_outstanding()
            for client in self._clients:
                client.close()
            await self._wait(lambda: not run.closing, monotonic() + CLOSE_SECONDS)
        finally:
            for client in run.closing.expired(float("inf")):
                client.hurry()
            if self._timer is not None:
                self._timer.cancel()
            for client in self._clients:
                client.abandon()
            run.poller.close()
        if run.fault is not None:
            raise run.fault
        self._close_phase()
        seconds, spent = ended - self._started, cpu - self._cpu_started
        return self._report(
            seconds, spent, self._total, self._total_silence, self._total_return, absent, self.counts()
        )

    def counts(self) -> Counts:
        """Return the figures since the start."""
        return self._state.counts(self._sends.given_up if self._sends else 0)

    def take_phase(self) -> Report:
        """Return what happened since the last call (or the start) and begin a new phase.

        An answer counts, with its latency, in the phase in which it came.
        """
        self._note_outstanding()
        self._note_returning()
        now, cpu, counts = monotonic(), time.process_time(), self.counts()
        seconds, spent = now - self._phase_started, cpu - self._phase_cpu
        latency, silence, slowest = self._close_phase()
        since = counts.since(self._previous)
        report = self._report(seconds, spent, latency, silence, slowest, self._absent, since)
        self._phase_started, self._phase_cpu, self._previous = now, cpu, counts
        return report

    @property
    def latency(self) -> Histogram:
        """Latencies in seconds of the present phase; not to be changed."""
        return self._state.latency

    @property
    def _state(self) -> Run:
        if self._run is None:
            raise RuntimeError("the load has not been started")
        return self._run

    def _note_outstanding(self) -> None:
        """Let answers that have not come yet count for the longest silence."""
        run = self._state
        oldest = min((sent for sent in (client.oldest() for client in self._clients) if sent is not None), default=None)
        if oldest is not None:
            run.silence = max(run.silence, monotonic_ns() - oldest)

    def _note_returning(self) -> None:
        """Let clients that have not come back yet count for the slowest return."""
        run = self._state
        if run.returning:
            run.slowest_return = max(run.slowest_return, monotonic() - next(iter(run.returning.values())))

    @property
    def _absent(self) -> int:
        return self.plan.clients - self._state.connected

    def _close_phase(self) -> tuple[Histogram, float, float]:
        run = self._state
        latency, silence = run.latency, max(run.silence * 1e-9, run.latency.largest)
        self._total.merge(latency)
        self._total_silence = max(self._total_silence, silence)
        slowest = run.slowest_return
        self._total_return = max(self._total_return, slowest)
        run.latency = Histogram()
        run.silence = 0
        run.slowest_return = 0.0
        return latency, silence, slowest

    @staticmethod
    def _report(
        seconds: float, cpu: float, latency: Histogram, silence: float, slowest: float, absent: int, counts: Counts
    ) -> Report:
        return Report(
            seconds=seconds,
            messages_per_second=counts.received / seconds if seconds else 0.0,
            latency=Latency.of(latency),
            longest_silence=silence,
            slowest_return=slowest,
            absent=absent,
            cpu_seconds=cpu,
            counts=counts,
        )

    async def _wait(self, done: Callable[[], bool], deadline: float) -> bool:
        """Wait until `done` (True) or the deadline, or a fault, is reached (False)."""
        run = self._state
        while run.fault is None and not done():
            left = deadline - monotonic()
            if left <= 0:
                return False
            # Looked at now and then instead of signalled: no message should pay for somebody waiting.
            await asyncio.sleep(min(_LOOK, left))
        return run.fault is None

    # The timer.

    def _tick(self) -> None:
        run = self._state
        try:
            now = monotonic()
            if run.sending:
                self._dial(now)
                self._send(now)
            if now - self._last_sweep >= _SWEEP:
                self._last_sweep = now
                for client in run.dialling.expired(now):
                    client.give_up()
                for client in run.closing.expired(now):
                    client.hurry()
        except Exception as error:
            run.fault = error
            return
        self._timer = self._wake(now)

    def _wake(self, now: float) -> asyncio.Handle:
        run = self._state
        at = self._last_sweep + _SWEEP
        if run.sending:
            at = min(at, run.next_back())
            if self._dialled < self.plan.clients:
                at = min(at, self._dials.next_at())
            if self._sends:
                at = min(at, self._sends.next_at())
        if at <= now:  # late already: events first, then at once again
            return self._loop.call_soon(self._tick)
        return self._loop.call_later(max(_TICK, at - now), self._tick)

    def _dial(self, now: float) -> None:
        if self._dialled < self.plan.clients:
            upto = min(self.plan.clients, self._dialled + self._dials.take(now))
            for client in self._clients[self._dialled : upto]:
                client.dial()
            self._dialled = upto
        for client in self._state.due_back(now, _MOST_DIALS):
            client.dial()

    def _send(self, now: float) -> None:
        if self._sends is None:
            return
        clients = self._clients
        due = self._sends.take(now)
        while due:
            # A turn of a client that is not connected passes: the others keep their rate.
            turns = clients[self._turn : self._turn + due]
            for client in turns:
                if client.open:
                    client.send_message()
            due -= len(turns)
            self._turn = (self._turn + len(turns)) % len(clients)
