"""`core.timeline`, `core.link` and `core.errors`: what programs say to each other and to people."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core import link
from flux_gateway.core.errors import ConfigError, FluxError, HttpError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import Event, EventKind
from tests.unit.core.support import SOME

EVENT = Event(at=1.5, kind=EventKind.DEAD, subject="gateway-1", by="proxy-1", detail="heartbeat gone")


def test_an_event_is_a_flat_json_object_and_is_read_back() -> None:
    data = msgspec.json.encode(EVENT)
    assert msgspec.json.decode(data) == {
        "at": 1.5, "kind": "dead", "subject": "gateway-1", "by": "proxy-1", "detail": "heartbeat gone",
    }  # fmt: skip
    assert msgspec.json.decode(data, type=Event) == EVENT


@SOME
@given(st.integers(0, 2**53), st.sampled_from(NodeState), st.integers(0, 10**6))
def test_link_messages_are_read_back(sequence: int, state: NodeState, connections: int) -> None:
    to_node: list[link.ToNode] = [link.Ping(sequence), link.Detach(["a", "b"]), link.Drop({"a": connections})]
    for message in to_node:
        data = link.encode(message)
        assert link.decode_at_node(data) == message
        assert link.decode_at_node(data.decode()) == message
    to_proxy: list[link.ToProxy] = [
        link.Status(sequence, state, connections),
        link.Detaching(["a"]),
        link.Refused({"a": "closing"}),
        link.Released("a", b"\x01\xff", bytes(range(256))),
    ]
    for answer in to_proxy:
        data = link.encode(answer)
        assert link.decode_at_proxy(data) == answer
        assert link.decode_at_proxy(data.decode()) == answer


def test_the_longest_message_has_room_for_a_residual_and_what_is_around_it() -> None:
    released = link.Released("a" * 32, bytes(1000), bytes(link.OVERHEAD * 4))
    assert len(link.encode(released)) < link.size_limit(len(released.residual))


def test_link_messages_are_json_with_their_type() -> None:
    assert link.encode(link.Ping(7)) == b'{"type":"ping","sequence":7}'
    assert link.encode(link.Status(7, NodeState.UP, 3)) == (
        b'{"type":"status","sequence":7,"state":"UP","connections":3}'
    )


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert link.decode_at_node('{"type":"ping","sequence":7,"colour":"red"}') == link.Ping(7)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"{}", b'{"type":"hello"}', b'{"type":"ping"}', b'{"type":"ping","sequence":"x"}', b"\xff"],
)
def test_anything_else_raises_a_decode_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        link.decode_at_node(data)
    with pytest.raises(msgspec.DecodeError):
        link.decode_at_proxy(data)


def test_errors_are_one_tree_and_a_config_error_lists_every_fault() -> None:
    error = ConfigError(["port: too large", "id: missing"])
    assert isinstance(error, FluxError)
    assert error.faults == ("port: too large", "id: missing")
    assert str(error) == "port: too large; id: missing"
    assert isinstance(HttpError(400, "no"), FluxError)
