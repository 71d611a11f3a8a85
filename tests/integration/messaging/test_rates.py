"""Limits that are off unless somebody sets them: what a client, a user, and all together may do a second."""

import json
import time

import pytest

from tests.processes import Daemon, Stack, until
from tests.sdk.client import CallFailed, SdkClient
from tests.sdk.python import PythonClient
from tests.sdk.tokens import connect_token

SECRET = "secret-of-the-tests-0123456789abcdef"

OPEN = {"allow_subscribe_for_client": True, "allow_publish_for_client": True, "allow_publish_for_anonymous": True}


@pytest.fixture
def nodes(stack: Stack, request: pytest.FixtureRequest) -> list[Daemon]:
    """Two nodes with the settings that the test is parametrised with."""
    stack.redis()
    secret = stack.token_file.with_name("secret")
    secret.write_text(SECRET)
    settings = {
        "messaging_token_hmac_file": secret, "messaging_anonymous": "true", "messaging_default": json.dumps(OPEN),
        **request.param,
    }  # fmt: skip
    return [stack.gateway(**settings) for _ in range(2)]


def client(node: Daemon, user: str = "") -> SdkClient:
    tokens = [connect_token(SECRET, user)] if user else []
    return PythonClient(f"{node.url}/connection/websocket", tokens=tokens)


@pytest.mark.parametrize("nodes", [{"messaging_connections_per_user": 2}], indirect=True)
def test_a_user_has_so_many_connections_in_the_whole_cluster(nodes: list[Daemon]) -> None:
    with client(nodes[0], "ada") as one, client(nodes[1], "ada") as two, client(nodes[1], "ada") as three:
        one.connect()
        two.connect()
        three.call("connect")
        assert three.wait("disconnected")["code"] == 3504
        with client(nodes[0], "bob") as other:
            other.connect()
        one.disconnect()
        with client(nodes[1], "ada") as four:
            until(lambda: _gets_in(four), "the place is free", 5)


def _gets_in(one: SdkClient) -> bool:
    mark = one.mark
    one.call("connect")
    until(lambda: one.seen("connected", after=mark) or one.seen("disconnected", after=mark), "an answer")
    return bool(one.seen("connected", after=mark))


def publish_often(one: SdkClient, times: int, data: object) -> None:
    for _ in range(times):
        one.publish("a", data)


@pytest.mark.parametrize("nodes", [{"messaging_commands_per_second": 20}], indirect=True)
def test_too_many_commands_close_the_connection(nodes: list[Daemon]) -> None:
    with client(nodes[0]) as one, client(nodes[0]) as calm:
        one.connect()
        calm.connect()
        for _ in range(10):
            calm.publish("a", 1)
        mark = one.mark
        with pytest.raises(CallFailed):
            publish_often(one, 60, 1)
        assert one.wait("connecting", after=mark)["code"] == 3013
        one.wait("connected", after=mark)
        assert calm.seen("disconnected") == []
        assert len(calm.seen("connecting")) == 1


@pytest.mark.parametrize("nodes", [{"messaging_bytes_per_second": 50_000}], indirect=True)
def test_too_many_bytes_close_the_connection(nodes: list[Daemon]) -> None:
    with client(nodes[0]) as one:
        one.connect()
        mark = one.mark
        with pytest.raises(CallFailed):
            publish_often(one, 20, "x" * 10_000)
        assert one.wait("connecting", after=mark)["code"] == 3013


@pytest.mark.parametrize("nodes", [{"messaging_connect_rate": 5, "messaging_connect_queue": 10}], indirect=True)
def test_a_storm_of_connects_is_let_in_at_a_pace(nodes: list[Daemon]) -> None:
    made = [client(nodes[0]) for _ in range(25)]
    try:
        for one in made:
            one.start()
        began = time.monotonic()
        for one in made:
            one.call("connect")
        for one in made:
            one.wait("connected", timeout=25)
        # 5 a second, and a burst of as many; those that found the queue full came again by themselves.
        assert 3 < time.monotonic() - began < 20
        assert [one for one in made if one.seen("disconnected")] == []
        assert any(one.seen("error", code=111) for one in made)
    finally:
        for one in made:
            one.stop()
