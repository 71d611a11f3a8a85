"""`refilling`: channels that have moved within Redis are read anew, also those that are being read already."""

import asyncio
from typing import cast

from flux_gateway.gateway.messaging.channels.channel import Channel
from flux_gateway.gateway.messaging.channels.hub import Hub
from flux_gateway.gateway.messaging.refilling import refill


class One:
    """What there is of a channel here."""

    def __init__(self) -> None:
        self.waiting: list[object] | None = None
        self.work: asyncio.Task[None] | None = None


class Reader:
    """Stands where the hub stands: a refill lasts until it is let go."""

    def __init__(self, *names: str) -> None:
        self.channels = {name: One() for name in names}
        self.refills: list[One] = []
        self.go = asyncio.Event()

    def refill(self, channel: Channel) -> None:
        one = cast(One, channel)
        self.refills.append(one)
        one.work = asyncio.create_task(self._read(one))

    async def _read(self, one: One) -> None:
        await self.go.wait()
        one.waiting = None


def test_each_channel_is_read_once_and_what_comes_meanwhile_waits() -> None:
    async def main() -> None:
        reader = Reader("a", "b", "c")
        refill(cast(Hub, reader), ["a", "b", "nobody-hears-it-any-more"])
        assert reader.refills == [reader.channels["a"], reader.channels["b"]]
        assert [one.waiting for one in reader.channels.values()] == [[], [], None]
        reader.go.set()
        await asyncio.gather(*(one.work for one in reader.refills if one.work))
        assert len(reader.refills) == 2

    asyncio.run(main())


def test_one_that_is_being_read_is_read_once_more() -> None:
    async def main() -> None:
        reader = Reader("a")
        one = reader.channels["a"]
        refill(cast(Hub, reader), ["a"])
        refill(cast(Hub, reader), ["a"])
        assert reader.refills == [one]
        first = one.work
        reader.go.set()
        while one.work is first:
            await asyncio.sleep(0)
        assert reader.refills == [one, one]
        assert one.work is not None
        await one.work
        assert one.waiting is None

    asyncio.run(main())


def test_one_that_is_closed_meanwhile_is_not() -> None:
    async def main() -> None:
        reader = Reader("a")
        refill(cast(Hub, reader), ["a"])
        refill(cast(Hub, reader), ["a"])
        work = reader.channels["a"].work
        assert work is not None
        work.cancel()
        await asyncio.wait((work,))
        await asyncio.sleep(0)
        assert len(reader.refills) == 1

    asyncio.run(main())
