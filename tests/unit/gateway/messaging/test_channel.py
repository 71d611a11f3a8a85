"""One channel on one node: positions, and who gets what."""

from typing import cast

import pytest

from flux_gateway.broker.events import Event, Kind
from flux_gateway.core.session import Traffic
from flux_gateway.gateway.messaging.channels.channel import Channel
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.encodings import WEBSOCKET_JSON, WEBSOCKET_PROTOBUF, Encoding
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import ClientInfo, Publication
from tests.unit.gateway.messaging.listener import Listener, event, publication

KEPT = Namespace(history_size=10, history_ttl=60)
PLAIN = Namespace()


class Hub:
    """Notes what the channel asks for."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.changes = 0
        self.refills = 0

    def changed(self, channel: Channel) -> None:
        self.changes += 1

    def refill(self, channel: Channel) -> None:
        self.refills += 1


def _opened(rules: Namespace = KEPT, offset: int = 0) -> tuple[Channel, Hub]:
    hub = Hub()
    channel = Channel(hub, "c", rules)
    channel.found(Position(offset, "e"), [])
    return channel, hub


def _live(channel: Channel, listener: Listener, position: Position, *, positioned: bool = True) -> Subscription:
    one = Subscription(cast(Client, listener), "c", channel.rules)
    one.positioned = positioned
    channel.join(one)
    channel.live(one, position)
    return one


def test_what_comes_before_the_position_is_known_waits_and_old_news_is_dropped() -> None:
    hub, listener = Hub(), Listener()
    channel = Channel(hub, "c", KEPT)
    one = Subscription(cast(Client, listener), "c", KEPT)
    channel.join(one)
    for offset, letter in ((2, "B"), (3, "C")):
        channel.take(event(offset, letter))
    channel.found(Position(2, "e"), [])
    channel.live(one, Position(2, "e"))
    assert listener.data() == ["C"]
    assert channel.position(one) == Position(3, "e")


def test_all_get_a_publication_once_and_those_of_one_encoding_the_same_bytes() -> None:
    channel, hub = _opened()
    listeners = [Listener(WEBSOCKET_JSON), Listener(WEBSOCKET_JSON), Listener(WEBSOCKET_PROTOBUF)]
    for listener in listeners:
        _live(channel, listener, Position(0, "e"))
    channel.take(event(1, "A"))
    channel.take(event(2, "B"))
    channel.take(event(2, "B"))
    assert not any(one.heard for one in listeners)
    channel.deliver()
    assert [one.data() for one in listeners] == [["A", "B"]] * 3
    assert [len(one.heard) for one in listeners] == [1, 1, 1]
    assert listeners[0].heard[0] is listeners[1].heard[0]
    assert hub.traffic.messages_out == 6


def test_a_client_that_knows_more_than_the_node_is_not_told_twice() -> None:
    channel, _ = _opened()
    ahead, level = Listener(), Listener()
    one = _live(channel, ahead, Position(2, "e"))
    _live(channel, level, Position(0, "e"))
    assert channel.position(one) == Position(2, "e")
    for offset, letter in ((1, "A"), (2, "B"), (3, "C"), (4, "D")):
        channel.take(event(offset, letter))
        channel.deliver()
    assert ahead.data() == ["C", "D"]
    assert level.data() == ["A", "B", "C", "D"]
    assert not channel.ahead


def test_what_comes_while_a_client_is_being_subscribed_follows_its_answer() -> None:
    channel, _ = _opened()
    listener = Listener()
    one = Subscription(cast(Client, listener), "c", KEPT)
    channel.join(one)
    for offset, letter in ((1, "A"), (2, "B"), (3, "C")):
        channel.take(event(offset, letter))
        channel.deliver()
    assert not listener.heard
    channel.live(one, Position(2, "e"))
    assert listener.data() == ["C"]


@pytest.mark.parametrize("ahead", ["client", "node"])
def test_a_stream_that_is_lost_while_a_client_is_being_subscribed(ahead: str) -> None:
    """A client that counts is told to come anew, and gets nothing that belongs to the other stream."""
    channel, _ = _opened()
    counting, other = Listener(), Listener()
    joining = [Subscription(cast(Client, listener), "c", KEPT) for listener in (counting, other)]
    joining[0].positioned = True
    for one in joining:
        channel.join(one)
    channel.take(event(1, "A"))
    if ahead == "node":
        channel.waiting = []
        channel.found(Position(1, "new"), [publication(1, "B")])
    for one in joining:
        channel.live(one, Position(0, "e" if ahead == "node" else "new"))
    assert (counting.missed, counting.data()) == (1, [])
    assert other.data() == (["A", "B"] if ahead == "node" else ["A"])


def test_a_gap_is_filled_from_the_stream_before_anything_else_goes_out() -> None:
    channel, hub = _opened()
    listener = Listener()
    _live(channel, listener, Position(0, "e"))
    channel.take(event(1, "A"))
    channel.take(event(4, "D"))
    channel.take(event(5, "E"))
    channel.deliver()
    assert (hub.refills, listener.data()) == (1, ["A"])
    channel.found(Position(4, "e"), [publication(number, letter) for number, letter in ((2, "B"), (3, "C"), (4, "D"))])
    channel.deliver()
    assert listener.data() == ["A", "B", "C", "D", "E"]
    assert listener.missed == 0


def test_a_gap_that_the_stream_cannot_fill_is_announced() -> None:
    channel, _ = _opened()
    told, untold = Listener(), Listener()
    _live(channel, told, Position(0, "e"))
    _live(channel, untold, Position(0, "e"), positioned=False)
    channel.take(event(9, "I"))
    channel.found(Position(9, "e"), [publication(8, "H"), publication(9, "I")])
    channel.deliver()
    assert (told.missed, untold.missed) == (1, 0)
    assert untold.data() == ["H", "I"]


def test_another_stream_is_announced_and_its_news_goes_to_those_who_do_not_count() -> None:
    channel, _ = _opened(offset=7)
    told, untold = Listener(), Listener()
    _live(channel, told, Position(7, "e"))
    _live(channel, untold, Position(7, "e"), positioned=False)
    channel.take(event(1, "A", epoch="f"))
    channel.found(Position(1, "f"), [publication(1, "A")])
    channel.deliver()
    assert told.missed == 1
    assert untold.data() == ["A"]
    assert (channel.epoch, channel.offset) == ("f", 1)


def test_what_an_older_stream_still_says_is_dropped() -> None:
    channel, hub = _opened(offset=7)
    channel.take(event(1, "A", epoch="f"))
    channel.take(event(8, "H", epoch="e"))
    channel.found(Position(1, "f"), [publication(1, "A")])
    assert hub.refills == 1
    assert channel.waiting is None


def test_joins_and_leaves_go_to_those_who_want_them_in_order_with_publications() -> None:
    channel, _ = _opened()
    wanting, other = Listener(), Listener()
    _live(channel, wanting, Position(0, "e")).join_leave = True
    _live(channel, other, Position(0, "e"))
    channel.take(event(1, "A"))
    channel.take(Event(Kind.JOIN, 0, "", ClientInfo("u'Z", "c")))
    channel.take(event(2, "B"))
    channel.deliver()
    assert wanting.data() == ["A", "Z", "B"]
    assert other.data() == ["A", "B"]


def test_without_history_no_offset_is_told() -> None:
    channel, _ = _opened(PLAIN)
    listener = Listener()
    _live(channel, listener, Position(0, "e"), positioned=False)
    channel.take(event(1, "A"))
    channel.deliver()
    assert listener.data() == ["A"]
    assert b"offset" not in listener.heard[0]


@pytest.mark.parametrize("encoding", [WEBSOCKET_JSON, WEBSOCKET_PROTOBUF])
def test_a_payload_that_is_not_json_ends_those_who_read_json(encoding: Encoding) -> None:
    channel, _ = _opened()
    listener = Listener(encoding)
    _live(channel, listener, Position(0, "e"))
    channel.take(Event(Kind.PUBLICATION, 1, "e", Publication(data=b"\xff", offset=1)))
    channel.deliver()
    if encoding is WEBSOCKET_JSON:
        assert listener.ended is not None
        assert listener.ended.code == 3506
    else:
        assert listener.ended is None
        assert listener.heard


def test_who_has_left_hears_what_came_before_and_nothing_after() -> None:
    channel, _ = _opened()
    listener = Listener()
    one = _live(channel, listener, Position(0, "e"))
    channel.take(event(1, "A"))
    channel.leave(one)
    channel.take(event(2, "B"))
    channel.deliver()
    assert listener.data() == ["A"]
    assert not channel.occupied
