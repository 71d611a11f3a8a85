"""`messaging.channels`: names taken apart, and whose rules hold for them."""

import pytest

from flux_gateway.messaging.channels import ChannelName, Channels, personal_channel
from flux_gateway.messaging.codes import ClientError
from flux_gateway.messaging.namespaces import Namespace

DEFAULT = Namespace(presence=True)
LIMITED = Namespace(allow_user_limited_channels=True)
PICKY = Namespace(channel_regex=r"^[a-zü]+$")
CHANNELS = Channels(DEFAULT, {"chat": LIMITED, "picky": PICKY})


@pytest.mark.parametrize(
    ("text", "namespace", "rest", "private", "users"),
    [
        ("news", "", "news", False, None),
        ("chat:room", "chat", "room", False, None),
        ("chat:a:b", "chat", "a:b", False, None),
        ("$news", "", "news", True, None),
        ("$chat:room", "chat", "room", True, None),
        ("$$x", "", "$x", True, None),
        ("a#42", "", "a#42", False, ("42",)),
        ("a#1#42,43", "", "a#1#42,43", False, ("42", "43")),
        ("#42", "", "#42", False, ("42",)),
        ("chat:#42", "chat", "#42", False, ("42",)),
        ("x#", "", "x#", False, ("",)),
        ("a#4:2", "a#4", "2", False, None),
    ],
)
def test_a_name_s_parts(
    text: str, namespace: str, rest: str, private: bool, users: tuple[str, ...] | None
) -> None:
    assert ChannelName.parse(text) == (text, namespace, rest, private, users)


def refused(channel: str, channels: Channels = CHANNELS) -> int:
    with pytest.raises(ClientError) as error:
        channels.rules(channel)
    return error.value.code


def test_the_namespace_s_rules_hold() -> None:
    assert CHANNELS.rules("news")[1] is DEFAULT
    assert CHANNELS.rules("$news")[1] is DEFAULT
    assert CHANNELS.rules("chat:room")[1] is LIMITED
    assert CHANNELS.rules("$chat:room")[1] is LIMITED


@pytest.mark.parametrize("channel", ["other:x", ":x", "$:x", "Chat:x", "other:ü"])
def test_an_unknown_namespace(channel: str) -> None:
    assert refused(channel) == 102


@pytest.mark.parametrize("channel", ["", "x" * 256, "ü", "chat:ü", "picky:UPPER", "picky:", "picky:x1"])
def test_a_bad_name(channel: str) -> None:
    assert refused(channel) == 107


def test_a_pattern_is_for_what_follows_the_namespace_and_decides_on_ascii_too() -> None:
    assert CHANNELS.rules("picky:grün")[1] is PICKY


def test_the_longest_name_is_counted_in_bytes() -> None:
    CHANNELS.rules("x" * 255)
    picky = Channels(DEFAULT, {"picky": PICKY}, max_length=10)
    picky.rules("picky:üü")
    assert refused("picky:üüü", picky) == 107
    assert refused("picky:\ud800" + "x" * 5, picky) == 107


def test_who_is_listed() -> None:
    name, rules = CHANNELS.rules("chat:x#42,43,")
    assert name.limited(rules)
    assert [user for user in ("42", "43", "4", "", "42,43") if name.lists(user)] == ["42", "43"]
    name, rules = CHANNELS.rules("x#42")
    assert not name.limited(rules), "only where the namespace allows it"
    name, rules = CHANNELS.rules("chat:x")
    assert not name.limited(rules)
    assert not name.lists("42")


def test_personal_channels_are_limited_to_their_user() -> None:
    assert personal_channel("42") == "#42"
    name, rules = CHANNELS.rules(personal_channel("42", "chat"))
    assert name.name == "chat:#42"
    assert name.limited(rules)
    assert name.lists("42")
