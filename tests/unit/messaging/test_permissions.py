"""`messaging.permissions`: every combination of options and clients."""

import itertools

import msgspec
import pytest

from flux_gateway.messaging.channels import ChannelName
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.permissions import may_history, may_presence, may_publish, may_subscribe

SWITCH = (False, True)
QUESTIONS = {"publish": may_publish, "presence": may_presence, "history": may_history}


def namespace(**options: bool) -> Namespace:
    return msgspec.structs.replace(Namespace(), **options)


@pytest.mark.parametrize(
    ("client", "anonymous", "user", "insecure", "expected"),
    [
        (False, False, "42", False, False), (False, False, "42", True, True), (False, False, "", True, True),
        (True, False, "42", False, True), (True, False, "", False, False),
        (True, True, "", False, True), (False, True, "", False, False), (False, True, "42", False, False),
    ],
)  # fmt: skip
def test_who_may_subscribe(client: bool, anonymous: bool, user: str, insecure: bool, expected: bool) -> None:
    rules = namespace(allow_subscribe_for_client=client, allow_subscribe_for_anonymous=anonymous)
    assert may_subscribe(rules, user, insecure=insecure) is expected


@pytest.mark.parametrize("what", QUESTIONS)
def test_who_may_do_the_rest(what: str) -> None:
    for client, subscriber, anonymous, subscribed, user, insecure in itertools.product(
        SWITCH, SWITCH, SWITCH, SWITCH, ("", "42"), SWITCH
    ):
        rules = namespace(**{
            f"allow_{what}_for_client": client,
            f"allow_{what}_for_subscriber": subscriber,
            f"allow_{what}_for_anonymous": anonymous,
        })
        expected = insecure or ((client or (subscriber and subscribed)) and (user != "" or anonymous))
        assert QUESTIONS[what](rules, user, subscribed, insecure) is expected, rules


@pytest.mark.parametrize("what", QUESTIONS)
def test_one_right_is_not_another(what: str) -> None:
    rules = namespace(**{f"allow_{what}_for_client": True})
    assert [other for other, may in QUESTIONS.items() if may(rules, "42", True, False)] == [what]


@pytest.mark.parametrize("what", QUESTIONS)
def test_strangers_are_kept_out_of_user_limited_channels(what: str) -> None:
    name, may = ChannelName.parse("x#42"), QUESTIONS[what]
    rules = namespace(**{
        f"allow_{what}_for_client": True, f"allow_{what}_for_subscriber": True, "allow_user_limited_channels": True,
    })  # fmt: skip
    assert may(rules, "42", False, False, name)
    assert not may(rules, "43", False, False, name)
    assert may(rules, "43", True, False, name), "a token let it in"
    assert may(rules, "43", False, True, name)
    assert may(msgspec.structs.replace(rules, allow_user_limited_channels=False), "43", False, False, name)
