"""From what Redis returns to records, snapshots and events. Pure."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot
from flux_gateway.core.timeline import Event

Record = TypeVar("Record", NodeRecord, ProxyRecord)

_event = msgspec.json.Decoder(Event)


def snapshot(reply: Sequence[Sequence[bytes | int]], heartbeat_life: float) -> Snapshot:
    """Return the snapshot that `snapshot.lua` read. `heartbeat_life` is the heartbeats' full life in seconds.

    Raises `RegistryUnavailable` when a record cannot be decoded: a half-known view is worse than the last whole one.
    """
    nodes, proxies, life = reply
    ages = {
        _text(name): max(0.0, heartbeat_life - left / 1000)
        for name, left in zip(life[::2], life[1::2], strict=True)
        if isinstance(left, int) and left >= 0
    }
    return Snapshot(_records(nodes, NodeRecord), _records(proxies, ProxyRecord), ages)


def _records(flat: Sequence[bytes | int], kind: type[Record]) -> dict[str, Record]:
    records = {}
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        try:
            records[_text(name)] = msgspec.json.decode(value if isinstance(value, bytes) else str(value), type=kind)
        except msgspec.DecodeError as error:
            raise RegistryUnavailable(f"the record of {_text(name)} in the registry is unreadable: {error}") from error
    return dict(sorted(records.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> tuple[str, int, str]:
    """gateway-10 after gateway-9."""
    head = name.rstrip("0123456789")
    tail = name[len(head) :]
    return head, int(tail or 0), name


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def event(data: bytes) -> Event | None:
    """Return the event, or None when the bytes are none (another program's message on the channel)."""
    try:
        return _event.decode(data)
    except msgspec.DecodeError:
        return None


def events(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Event]:
    """Return the events of a range of the time line stream, in its order."""
    found = (event(fields.get(b"event", b"")) for _, fields in entries)
    return [entry for entry in found if entry is not None]


def history(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[NodeRecord]:
    """Return a node's samples, oldest first."""
    return [msgspec.json.decode(fields[b"record"], type=NodeRecord) for _, fields in entries if b"record" in fields]
