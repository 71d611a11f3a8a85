"""New clients beside a load: so many a second open a connection with a fresh key, ask `/whoami`, and leave."""

import asyncio
import errno
import math
import os
import time
from collections import Counter
from collections.abc import Mapping

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from flux_gateway.load.plan import parse_url

PATIENCE = 10.0
"""Seconds after which an attempt gives up."""

RETRY_PAUSE = 0.5
"""Seconds between two attempts of the same newcomer."""

ASK_AGAIN = 4.0
"""Seconds after which a question without an answer is asked again, on the same connection: one that was inside a
process when it died is gone, and nobody but the client can know. More than it takes to find out that a node hangs."""

_MOST_LATE = 1.0
"""Seconds by which the beat may be late and still be caught up; what is later is left out."""


class NewcomerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What new clients saw, in one phase or in all of a run."""

    served: int = 0
    retried: int = 0
    """Of those served, the ones whose first attempt had failed."""
    repeated: int = 0
    """Of those served, the ones that had to ask a second time on their connection, `ASK_AGAIN` later."""
    failed: int = 0
    causes: Mapping[str, int] = {}
    """Those that failed, by the cause of their last attempt: `refused`, `timeout`, `HTTP 503`, `closed 1012`, ..."""
    slowest: float = 0.0
    """Seconds from dialling first to the answer, of the slowest one that was served; retries included."""
    nodes: Mapping[str, int] = {}
    """Those that were served, by the node that answered."""


class _Facts(msgspec.Struct):
    """What is read of the answer of `/whoami`."""

    node: str


def whoami_url(url: str) -> str:
    """Return the address of `/whoami` on the host of any URL of the cluster. Raises `ValueError`."""
    return f"ws://{parse_url(url).authority}/whoami"


def most_open(rate: float, retries: int) -> int:
    """Return how many newcomers can be under way at once, each with at most one socket."""
    return math.ceil(rate * (PATIENCE + RETRY_PAUSE) * (1 + retries))


class Newcomers:
    """Keeps new clients coming, `rate` a second, from `start` to `stop`. None waits for another.

    A newcomer that is not served tries again up to `retries` times, `RETRY_PAUSE` apart, before it counts as failed.
    """

    def __init__(self, url: str, rate: float, retries: int = 0) -> None:
        self._url = whoami_url(url)
        self._interval = 1.0 / rate
        self._retries = retries
        # A key of its own for each newcomer of each run: none may profit from where another one has been.
        self._prefix = f"new-{os.urandom(4).hex()}"
        self._number = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self._served: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._retried = 0
        self._repeated = 0
        self._slowest = 0.0

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="newcomers")

    def take(self) -> NewcomerCounts:
        """Return what was seen since the last call. A newcomer counts when it is served or has failed."""
        counts = NewcomerCounts(
            served=self._served.total(), retried=self._retried, repeated=self._repeated,
            failed=self._causes.total(), causes=dict(self._causes), slowest=self._slowest, nodes=dict(self._served),
        )  # fmt: skip
        self._reset()
        return counts

    async def stop(self) -> None:
        """Send no more, and wait for those under way: `PATIENCE` and their retries bound it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._under_way)

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            newcomer = asyncio.create_task(self._come(self._number), name=f"newcomer {self._number}")
            self._number += 1
            self._under_way.add(newcomer)
            newcomer.add_done_callback(self._under_way.discard)
            due = max(due + self._interval, time.monotonic() - _MOST_LATE)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _come(self, number: int) -> None:
        started = time.monotonic()
        for attempt in range(self._retries + 1):
            if attempt:
                await asyncio.sleep(RETRY_PAUSE)
            try:
                node, answered = await self._ask(f"{self._prefix}-{number}")
            except (OSError, EOFError, WebSocketException, msgspec.DecodeError) as error:
                cause = _cause(error)
            else:
                self._served[node] += 1
                self._retried += bool(attempt)
                self._slowest = max(self._slowest, answered - started)
                return
        self._causes[cause] += 1

    async def _ask(self, key: str) -> tuple[str, float]:
        """Return the node that answered, and when it did; the connection is closed by then."""
        async with asyncio.timeout(PATIENCE):
            # No HTTP proxy of the environment: the cluster itself is asked.
            async with connect(
                f"{self._url}?session={key}", compression=None, proxy=None, open_timeout=None, close_timeout=1
            ) as socket:
                node = msgspec.json.decode(await self._answer(socket), type=_Facts).node
                return node, time.monotonic()

    async def _answer(self, socket: ClientConnection) -> str | bytes:
        await socket.send("?")
        try:
            async with asyncio.timeout(ASK_AGAIN):
                return await socket.recv()
        except TimeoutError:
            await socket.send("?")
            answer = await socket.recv()
            self._repeated += 1
            return answer


def _cause(error: Exception) -> str:
    """Name what went wrong, in the words of `Counts.connect_failures`."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, ConnectionClosed):
        return f"closed {error.rcvd.code if error.rcvd else 1006}"
    if isinstance(error, OSError):
        if error.errno is None:  # asyncio joins the errors of several addresses into one without a number
            return "refused" if "refused" in str(error).lower() else str(error)
        known = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset"}
        return known.get(error.errno) or os.strerror(error.errno).lower()
    return "no answer of /whoami" if isinstance(error, msgspec.DecodeError) else "closed during the handshake"
