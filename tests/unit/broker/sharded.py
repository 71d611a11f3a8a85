"""Shared by the tests about sharded pub/sub: brokers of a cluster, and which channels are where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, islice

from redis.crc import key_slot

from flux_gateway.broker import keys
from flux_gateway.broker.broker import Broker
from flux_gateway.messaging.publication import ClientInfo
from tests.unit.broker.cluster_servers import ClusterServers, Master
from tests.unit.broker.support import Heard

CHANNELS = [f"channel-{i}" for i in range(60)]
INFO = ClientInfo("ann", "client")


@asynccontextmanager
async def broker(servers: ClusterServers, node_id: str = "gateway-1") -> AsyncIterator[tuple[Broker, Heard, list[str]]]:
    """A broker, what it hears, and the channels of which it says that something may be missing."""
    made = Broker(servers.cluster(), timeout=2.0, node_id=node_id)
    gaps: list[str] = []
    made.on_gap = gaps.extend
    try:
        await made.start()
        yield made, Heard(made), gaps
    finally:
        await made.close()


def slot_of(channel: str) -> int:
    slot: int = key_slot(keys.channel(channel).encode())
    return slot


def together(channel: str, number: int) -> list[str]:
    """Return other channels of the same slot."""
    slot = slot_of(channel)
    return [*islice((name for name in (f"other-{i}" for i in count()) if slot_of(name) == slot), number)]


def ends_of_a_move(servers: ClusterServers, channel: str) -> tuple[Master, Master]:
    source = servers.owner(slot_of(channel))
    return source, next(one for one in servers.masters if one is not source)


def hearers(servers: ClusterServers, question: str, channel: str) -> list[int]:
    return sorted(one.ask("PUBSUB", question, keys.channel(channel))[1] for one in servers.masters)
