"""Rows of steps that a random walk takes too rarely, each with what must not come of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from tests.integration.messaging_model.client import SdkClient
from tests.integration.messaging_model.scene import Scene
from tests.integration.messaging_model.world import CONNECT_TIMEOUT, PRESENCE_TTL, World
from tests.processes import Daemon

CHANNELS = ("whole:a", "plain")


@contextlib.asynccontextmanager
async def scene_of(world: World, places: tuple[int, ...]) -> AsyncIterator[Scene]:
    """Return a scene with a client on each of these nodes, all in the same channels; it is judged at the end."""
    scene = Scene(world)
    await scene.begin()
    try:
        for number, place in enumerate(places):
            await scene.come(("json", "protobuf")[number % 2], place)
        for client in scene.present():
            for kind in CHANNELS:
                client.subscribe(scene.channel(kind))
        await settled(scene)
        yield scene
        await scene.finish()
    finally:
        await scene.close()


async def settled(scene: Scene) -> None:
    """Wait until every client is where it wants to be."""
    while not all(client.settled for client in scene.present()):
        await asyncio.sleep(0.01)


def place(scene: Scene, client: SdkClient) -> int:
    """Return the number of the client's node."""
    assert client.relay is not None
    assert client.relay.node is not None
    nodes: list[Daemon] = scene.nodes()
    return nodes.index(client.relay.node)


Case = Callable[[World], Coroutine[None, None, None]]


async def idle_after_a_crash(world: World) -> None:
    """Reattached clients stay, and stay present, though they say nothing."""
    async with scene_of(world, (0, 1, 2)) as scene:
        await scene.crash(0)
        await settled(scene)
        await asyncio.sleep(max(CONNECT_TIMEOUT, PRESENCE_TTL) + 1)
        scene.presence_after = 0.5
        assert [client.closes for client in scene.clients] == [[], [], []]


async def crash_while_redis_is_away(world: World) -> None:
    """Who the clients are cannot be found out: they stay until it can."""
    async with scene_of(world, (0, 1, 2)) as scene:
        pausing = asyncio.create_task(scene.pause_redis(CONNECT_TIMEOUT + 2))
        await asyncio.sleep(0.1)
        await scene.crash(0)
        await pausing
        await settled(scene)
        assert [client.closes for client in scene.clients] == [[], [], []]


async def overtaken(world: World, drop_first: bool) -> None:
    """An old copy that ends, for whatever reason, takes nothing of the client along."""
    async with scene_of(world, (0, 1, 2, 0)) as scene:
        await scene.overtake(0, 0.3, drop_first)
        scene.presence_after = 0.5
        await settled(scene)


async def overtaken_and_dropped(world: World) -> None:
    """The proxy's word comes first."""
    await overtaken(world, drop_first=True)


async def overtaken_and_ended(world: World) -> None:
    """The connection's end comes first."""
    await overtaken(world, drop_first=False)


async def move_before_the_return(world: World) -> None:
    """A reattached client is moved before it has subscribed anew: for the others it has never left."""
    async with scene_of(world, (0, 1, 2)) as scene:
        client = scene.clients[0]
        client.pause = 0.5
        await scene.crash(0)
        while not all(one.resuming for one in client.subscriptions.values()):
            await asyncio.sleep(0.01)
        await scene.move([client], [0])
        await settled(scene)


async def crash_after_crash(world: World) -> None:
    """A reattached client's node dies, too, before the client has subscribed anew."""
    async with scene_of(world, (0, 1, 2)) as scene:
        client = scene.clients[0]
        client.pause = 0.5
        await scene.crash(0)
        while not all(one.resuming for one in client.subscriptions.values()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await scene.crash(place(scene, client), least=2)
        await settled(scene)


async def left_after_a_crash(world: World) -> None:
    """A reattached client leaves before it has subscribed anew: it is present no more."""
    async with scene_of(world, (0, 1, 2)) as scene:
        client = scene.clients[0]
        client.pause = 5
        await scene.crash(0)
        while not all(one.resuming for one in client.subscriptions.values()):
            await asyncio.sleep(0.01)
        await client.leave()
        scene.presence_after = 1.0


async def moves_under_load(world: World) -> None:
    """Everybody is moved again and again while much is published, by clients that move themselves, too."""
    async with scene_of(world, (0, 1, 2, 0, 1)) as scene:
        for kind in CHANNELS:
            for by in (None, *scene.clients):
                scene.publish(scene.channel(kind), by, 150, 0.005)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            await scene.move(scene.clients, [0, 1, 0, 1, 0])


async def moves_while_redis_stands_still(world: World) -> None:
    """Sessions arrive before their channels can be taken up, and go on."""
    async with scene_of(world, (0, 1, 2)) as scene:
        scene.publish(scene.channel("plain"), None, 300, 0.01)
        pausing = asyncio.create_task(scene.pause_redis(2.5))
        await asyncio.sleep(0.1)
        for _ in range(4):
            await scene.move(scene.clients, [0, 1, 0])
            await asyncio.sleep(0.3)
        await pausing


async def gap_before_a_publication(world: World) -> None:
    """What the bus has lost comes from the stream, before what follows it."""
    async with scene_of(world, (0, 1, 2)) as scene:
        for kind in CHANNELS:
            for _ in range(5):
                scene.lose(scene.channel(kind), 2)
                scene.publish(scene.channel(kind), None, 3, 0.001)
        await settled(scene)
        assert [client.closes for client in scene.clients] == [[], [], []]


async def gap_at_the_end(world: World) -> None:
    """Nothing follows what the bus has lost: nodes look at the streams from time to time."""
    async with scene_of(world, (0, 1, 2)) as scene:
        for kind in CHANNELS:
            scene.lose(scene.channel(kind), 2)


async def _pinged(client: SdkClient) -> None:
    """Wait for a ping, and do not answer it."""
    client.mute = True
    client.pinged.clear()
    await client.pinged.wait()


async def pong_after_two_moves(world: World) -> None:
    """A pong comes to a node that has not asked for it, and neither has the one before."""
    async with scene_of(world, (0, 0)) as scene:
        await asyncio.gather(*map(_pinged, scene.clients))
        for _ in range(2):
            await scene.move(scene.clients, [0, 0])
        for client in scene.clients:
            client.pong()
            client.mute = False


async def pong_after_a_crash_and_a_move(world: World) -> None:
    """The node that has asked is gone, the next one has handed the client on."""
    async with scene_of(world, (0, 0)) as scene:
        await asyncio.gather(*map(_pinged, scene.clients))
        await scene.crash(0)
        await settled(scene)
        await scene.move(scene.clients, [0, 0])
        for client in scene.clients:
            client.pong()
            client.mute = False


async def pong_while_redis_is_away(world: World) -> None:
    """The node that has asked is gone, and this one does not yet know the client."""
    async with scene_of(world, (0, 0)) as scene:
        pausing = asyncio.create_task(scene.pause_redis(2.0))
        await asyncio.sleep(0.1)
        await scene.crash(0)
        for client in scene.clients:
            client.pong()
        await pausing
        await settled(scene)
        assert [client.closes for client in scene.clients] == [[], []]


async def pong_of_a_forgotten_client(world: World) -> None:
    """Redis has lost what the next node has to know: the client comes back, and may do so."""
    async with scene_of(world, (0, 0)) as scene:
        await scene.wipe_redis()
        await scene.crash(0)
        for client in scene.clients:
            client.pong()
        await asyncio.sleep(0.2)
        await settled(scene)
        assert [client.closes for client in scene.clients] == [["3011 force reconnect"]] * 2


@pytest.mark.parametrize("case", [
    pong_after_two_moves, pong_after_a_crash_and_a_move, pong_while_redis_is_away, pong_of_a_forgotten_client,
    gap_before_a_publication, gap_at_the_end,
    idle_after_a_crash, crash_while_redis_is_away, overtaken_and_dropped, overtaken_and_ended, move_before_the_return,
    crash_after_crash, left_after_a_crash, moves_under_load, moves_while_redis_stands_still,
])  # fmt: skip
def test(world: World, case: Case) -> None:
    world.run(case(world))
    assert world.tracebacks() == []
