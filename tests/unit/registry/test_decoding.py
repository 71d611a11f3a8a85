"""`registry.decoding`: from what Redis returns to snapshots and events."""

import msgspec
import pytest

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.registry import decoding
from tests.unit.registry.support import event, node, proxy


def reply(*life: bytes | int) -> list[list[bytes | int]]:
    nodes: list[bytes | int] = [b"gateway-1", msgspec.json.encode(node())]
    proxies: list[bytes | int] = [b"proxy-1", msgspec.json.encode(proxy())]
    return [nodes, proxies, list(life)]


def test_ages_come_from_the_life_that_is_left() -> None:
    ages = decoding.snapshot(reply(b"a", 15_000, b"b", 4_000, b"c", 0, b"d", 16_000), 15).heartbeat_age
    assert ages == {"a": 0, "b": 11, "c": 15, "d": 0}


def test_a_heartbeat_that_is_gone_or_has_no_end_counts_as_none() -> None:
    assert decoding.snapshot(reply(b"a", -2, b"b", -1), 15).heartbeat_age == {}


def test_records_are_keyed_by_id() -> None:
    snapshot = decoding.snapshot(reply(), 15)
    assert (snapshot.nodes, snapshot.proxies) == ({"gateway-1": node()}, {"proxy-1": proxy()})


@pytest.mark.parametrize("bad", [b"", b"{}", b'{"id": 3}', b"\xff"])
def test_one_unreadable_record_makes_the_view_unavailable_and_is_named(bad: bytes) -> None:
    broken = reply()
    broken[0] += [b"gateway-2", bad]
    with pytest.raises(RegistryUnavailable, match="gateway-2"):
        decoding.snapshot(broken, 15)


def test_names_without_and_with_numbers_are_ordered_as_people_do() -> None:
    names = ["gw", "a-2", "gw-10", "gw-9", "gw-09", "a-1"]
    flat = [part for name in names for part in (name.encode(), msgspec.json.encode(node(name)))]
    assert list(decoding.snapshot([flat, [], []], 15).nodes) == ["a-1", "a-2", "gw", "gw-09", "gw-9", "gw-10"]


def test_events_that_are_none_are_left_out() -> None:
    data = msgspec.json.encode(event())
    assert decoding.event(data) == event()
    assert decoding.event(b"nonsense") is None
    entries = [(b"1-0", {b"event": data}), (b"2-0", {b"other": b""}), (b"3-0", {b"event": b"{}"})]
    assert decoding.events(entries) == [event()]


def test_samples_are_read_in_their_order() -> None:
    entries = [(b"1-0", {b"record": msgspec.json.encode(node(connections=n))}) for n in range(3)]
    assert [record.connections for record in decoding.history([*entries, (b"9-0", {})])] == [0, 1, 2]
