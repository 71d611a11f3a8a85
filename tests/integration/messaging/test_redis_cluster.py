"""Three nodes whose messaging is kept by a Redis Cluster: with sharded pub/sub, and without."""

import time
from collections.abc import Iterator

import cent
import pytest
from redis.crc import key_slot

from flux_gateway.broker import keys
from flux_gateway.supervisor.state_dir import StateDir
from tests.integration.messaging.conftest import RULES
from tests.integration.messaging.conversation import Conversation
from tests.integration.messaging.scene import KINDS, NODES, Scene, fresh, running
from tests.sdk import javascript
from tests.sdk.client import SdkClient
from tests.unit.broker.cluster_servers import ClusterServers, move_begins, move_ends, move_keys
from tests.unit.broker.redis_versions import EMBEDDED, SEVEN
from tests.unit.registry.server import HOST


@pytest.fixture(scope="module", params=[EMBEDDED, SEVEN], ids=["plain", "sharded"])
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    with ClusterServers(tmp_path_factory.mktemp("redis"), request.param) as made:
        yield made


@pytest.fixture(scope="module")
def whole(servers: ClusterServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("messaging")
    rules = folder / "rules.toml"
    seeds = [f"{HOST}:1", f"{HOST}:{servers.masters[1].port}"]
    rules.write_text(RULES.read_text().replace("[messaging]\n", f"[messaging]\nredis_cluster = {seeds}\n", 1))
    state = StateDir(folder / "s")
    state.create()
    servers.lock(state.redis_password.read_text().strip())
    with running(folder / "s", 64, "--messaging", str(rules)) as scene:
        yield scene


@pytest.fixture
def people(whole: Scene) -> Iterator[list[SdkClient]]:
    """A client of each kind on each node, connected."""
    kinds = [kind for kind in KINDS if kind[0] != "js" or not javascript.why_not()]
    yield [whole.connected(kind, node=node) for kind in kinds for node in NODES]
    whole.close()


def stored(servers: ClusterServers, channel: str) -> int:
    """Return the publications of a channel, at the master of its slot."""
    length: int = servers.owner(key_slot(keys.stream(channel).encode())).ask("XLEN", keys.stream(channel))
    return length


def test_everything_is_kept_by_the_cluster(whole: Scene, servers: ClusterServers, people: list[SdkClient]) -> None:
    channels = [fresh("chat") for _ in range(6)]
    for channel in channels:
        for client in people:
            client.subscribe(channel)
        people[0].publish(channel, "hello")
        for client in people:
            client.wait("publication", channel=channel, where=lambda event: event["data"] == "hello")
        assert len(people[1].presence(channel)) == len(people)
        assert stored(servers, channel) == 1
    for one in servers.masters:
        # The source address as ever, so that whoever cuts a node off cuts it off from all of them.
        clients = bytes(one.ask("CLIENT", "LIST")).decode()
        assert [number for number in (1, 2, 3) if f" addr=127.64.1.{number}:" not in clients] == []


def test_every_node_answers_a_survey(whole: Scene, people: list[SdkClient]) -> None:
    channel = fresh()
    for client in people:
        client.subscribe(channel)
    began = time.monotonic()
    found = whole.api.info(cent.InfoRequest())
    assert time.monotonic() - began < 0.8, "it knows how many will answer"
    assert {node.name for node in found.nodes} == {*NODES}


@pytest.mark.parametrize("namespace", ["chat", ""])
def test_a_slot_that_moves_is_not_noticed(
    servers: ClusterServers, people: list[SdkClient], namespace: str
) -> None:
    channel = fresh(namespace)
    for client in people:
        client.subscribe(channel)
    slot = key_slot(keys.stream(channel).encode())
    with Conversation(people, channel) as talk:
        talk.goes_on()
        for _ in range(3):
            source = servers.owner(slot)
            target = next(one for one in servers.masters if one is not source)
            move_begins(slot, source, target)
            talk.goes_on()
            move_keys(slot, source, target)
            talk.goes_on(5)
            move_ends(slot, servers, source, target)
            talk.goes_on()
    assert talk.refused == []
    talk.nobody_noticed()
    talk.all_heard_all()
    if namespace:
        talk.offsets_have_no_hole()


@pytest.mark.parametrize("namespace", ["chat", ""])
def test_what_is_published_within_a_move_comes_without_another_word(
    servers: ClusterServers, people: list[SdkClient], namespace: str
) -> None:
    channel = fresh(namespace)
    for client in people:
        client.subscribe(channel)
    slot = key_slot(keys.stream(channel).encode())
    source = servers.owner(slot)
    target = next(one for one in servers.masters if one is not source)
    people[0].publish(channel, "before")
    move_begins(slot, source, target)
    move_keys(slot, source, target)
    for number in range(10):
        people[number % len(people)].publish(channel, number)
    move_ends(slot, servers, source, target)
    for client in people:
        client.wait("publication", channel=channel, where=lambda event: event["data"] == 9, timeout=5)
        assert client.data(channel) == ["before", *range(10)]


def test_a_drain_is_not_noticed(whole: Scene, people: list[SdkClient]) -> None:
    channel = fresh()
    for client in people:
        client.subscribe(channel)
    with Conversation(people, channel) as talk:
        talk.goes_on()
        whole.cluster.flux("drain", "gateway-1", "--wait")
        talk.goes_on()
        whole.cluster.flux("undrain", "gateway-1")
    assert talk.refused == []
    talk.nobody_noticed()
    talk.all_heard_all()
