"""`core.membership`: records, as the registry shows them."""

import msgspec
import pytest

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot

NODE = NodeRecord(id="gateway-1", host="127.0.1.1", port=7000, admin_port=7100, state=NodeState.UP)


def test_a_node_s_record_has_at_least_the_fields_that_redis_cli_must_show() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(NODE))
    promised = {
        "id", "host", "port", "admin_port", "state", "weight", "version", "connections", "started_at", "heartbeat_at",
    }  # fmt: skip
    assert promised <= set(shown)
    assert shown["state"] == "UP"


@pytest.mark.parametrize(
    "record",
    [
        NODE,
        msgspec.structs.replace(NODE, weight=0.1, heartbeat_at=1234567890.123456, lag=1e-7),
        ProxyRecord(
            id="proxy-1", host="h", port=1, admin_host="a", admin_port=2, state=NodeState.DRAINING,
            links={"gateway-2": "up", "gateway-1": "down"}, nodes={"gateway-2": 3}, moves={"move": 5, "failed": 1},
        ),
    ],
)  # fmt: skip
def test_a_record_read_and_written_again_is_the_same_bytes(record: NodeRecord | ProxyRecord) -> None:
    """`declare_dead` relies on it: it compares what an observer read with what stands in Redis."""
    data = msgspec.json.encode(record)
    again = msgspec.json.decode(data, type=type(record))
    assert again == record
    assert msgspec.json.encode(again) == data


def test_records_and_snapshots_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        NODE.state = NodeState.DEAD  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Snapshot().nodes = {}  # type: ignore[misc]


def test_a_record_from_a_newer_version_can_be_read() -> None:
    data = msgspec.json.encode(msgspec.to_builtins(NODE) | {"colour": "red"})
    assert msgspec.json.decode(data, type=NodeRecord) == NODE


def test_a_record_of_a_proxy_that_does_not_count_moves_yet_can_be_read() -> None:
    record = ProxyRecord(id="proxy-1", host="h", port=1, admin_host="a", admin_port=2, state=NodeState.UP)
    older = msgspec.to_builtins(record)
    del older["moves"]
    assert msgspec.json.decode(msgspec.json.encode(older), type=ProxyRecord) == record


def test_an_unknown_state_cannot() -> None:
    data = msgspec.json.encode(msgspec.to_builtins(NODE) | {"state": "ASLEEP"})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=NodeRecord)
