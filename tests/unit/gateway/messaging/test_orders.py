"""`gateway.messaging.orders`: what nodes tell each other, there and back, and what is none of it."""

import msgspec
import pytest

from flux_gateway.gateway.messaging.orders.orders import (
    DisconnectOrder,
    OrderUnreadable,
    RefreshOrder,
    SubscribeOrder,
    SurveyAnswer,
    SurveyQuestion,
    Told,
    UnsubscribeOrder,
    decode,
    encode,
)

ALL: list[Told] = [
    DisconnectOrder(node="a", user="u", client="c", session="s", whitelist=("x", "y"), code=4000, reason="r"),
    DisconnectOrder(node="a", user="u"),
    UnsubscribeOrder(node="a", user="u", channel="ch"),
    SubscribeOrder(
        node="a", user="u", channel="ch", info=b'{"i": 1}', data=b"\xff", override={"presence": False},
        expire_at=1.5, since=(7, "e"),
    ),
    SubscribeOrder(node="a", client="c", channel="ch"),
    RefreshOrder(node="a", session="s", expired=True, expire_at=9.0, info=b"{}"),
    SurveyQuestion(node="a", id="1", what="channels", pattern="x*"),
    SurveyAnswer(node="b", id="1", data=b"\x80"),
]  # fmt: skip


@pytest.mark.parametrize("told", ALL, ids=lambda told: type(told).__name__)
def test_there_and_back(told: Told) -> None:
    assert decode(encode(told)) == told


def test_fields_of_a_newer_version_are_passed_over() -> None:
    order = DisconnectOrder(node="a", user="u")
    plain = msgspec.msgpack.decode(encode(order))
    assert decode(msgspec.msgpack.encode(plain | {"since_version": 9})) == order


def test_each_order_has_an_id_of_its_own() -> None:
    orders = [DisconnectOrder(node="a", user="u") for _ in range(100)]
    assert len({order.id for order in orders}) == 100


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", ""),
        (b"\xc1", ""),
        (b"\x93\x01\x02\x03", ""),
        (b"\x91" * 5000, ""),
        (msgspec.msgpack.encode({"node": "a"}), ""),
        (msgspec.msgpack.encode({"type": "newer", "node": "a"}), "newer"),
        (msgspec.msgpack.encode({"type": "disconnect", "user": "u"}), "disconnect"),
        (msgspec.msgpack.encode({"type": "unsubscribe", "node": "a", "channel": 5}), "unsubscribe"),
    ],
)
def test_what_is_none_says_of_which_kind(data: bytes, kind: str) -> None:
    with pytest.raises(OrderUnreadable) as caught:
        decode(data)
    assert caught.value.kind == kind


def test_an_order_names_somebody() -> None:
    assert DisconnectOrder(node="a").anybody()
    for named in (
        DisconnectOrder(node="a", user="u"),
        DisconnectOrder(node="a", client="c"),
        DisconnectOrder(node="a", session="s"),
    ):
        assert not named.anybody()
