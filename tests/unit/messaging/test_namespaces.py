"""`messaging.namespaces`: what contradicts itself is refused."""

from typing import Any

import msgspec
import pytest

from flux_gateway.messaging.namespaces import Namespace


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"history_size": 5}, "give both"),
        ({"history_ttl": 5}, "give both"),
        ({"force_recovery": True}, "needs history"),
        ({"allow_recovery": True}, "needs history"),
        ({"history_size": 5, "history_ttl": 60, "history_meta_ttl": 59}, "not be shorter"),
        ({"force_push_join_leave": True}, "needs join_leave"),
        ({"channel_regex": "["}, "channel_regex: "),
        ({"force_recovery_mode": "best"}, "force_recovery_mode"),
        ({"history_size": -1}, "history_size"),
        ({"history_ttl": float("nan")}, "history_ttl"),
        ({"history_ttl": float("inf")}, "history_ttl"),
    ],
)
def test_what_contradicts_itself_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        msgspec.convert(options, Namespace)


def test_recoverable_is_what_has_a_history() -> None:
    assert not Namespace().recoverable
    assert Namespace(history_size=1, history_ttl=1.0, force_recovery=True).recoverable
