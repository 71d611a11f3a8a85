"""The connection under an HTTP stream: when more commands may come, and its end."""

from unittest.mock import Mock

import pytest

from flux_gateway.core.session import Traffic
from flux_gateway.gateway.messaging.encodings import HTTP_STREAM_JSON
from flux_gateway.gateway.messaging.plain.stream import StreamConnection, StreamSession


class Scene:
    """A stream with everything around it made up."""

    def __init__(self) -> None:
        self.client = Mock(encoding=HTTP_STREAM_JSON, waiting=0, closing=lambda code, reason: (code, reason))
        self.traffic, self.over, self.transport, self.node = Traffic(), Mock(), Mock(), Mock()
        self.transport.is_closing.return_value = False
        self.session = StreamSession(
            "id", self.client, connected_at=1.5, max_size=100, traffic=self.traffic, path="/connection/http_stream"
        )
        self.stream = StreamConnection(self.node, self.transport, self.session, self.over)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_commands_are_counted_and_handed_on(scene: Scene) -> None:
    scene.session.take(b'{"id":1}')
    scene.client.assert_called_once_with(scene.session, HTTP_STREAM_JSON.codec.opcode, b'{"id":1}')
    assert (scene.traffic.messages_in, scene.traffic.bytes_in) == (1, 8)


def test_the_last_record_says_why(scene: Scene) -> None:
    scene.stream.close(3001, "shutdown")
    scene.transport.write.assert_called_once_with(b'{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}\n')
    scene.transport.write_eof.assert_called_once_with()
    scene.node.ending.assert_called_with(scene.stream)
    assert scene.session.outcome() == (3001, "node")


def test_nothing_comes_after_the_last_record(scene: Scene) -> None:
    scene.stream.close(3001, "shutdown")
    scene.stream.close(3503, "again")
    scene.stream.send(b"{}\n")
    scene.session.take(b"{}")
    assert scene.transport.write.call_count == 1
    scene.client.assert_not_called()
    assert scene.session.ping() == b""


@pytest.mark.parametrize("event", ["unhold", "close", "lost"])
def test_who_waits_until_the_client_has_caught_up(scene: Scene, event: str) -> None:
    then, later = Mock(), Mock()
    scene.stream.when_free(then)
    then.assert_called_once_with()
    scene.stream.hold()
    scene.stream.when_free(later)
    later.assert_not_called()
    match event:
        case "unhold":
            scene.stream.unhold()
        case "close":
            scene.stream.close(3001, "shutdown")
        case _:
            scene.stream.connection_lost(None)
    later.assert_called_once_with()
    scene.stream.connection_lost(None)
    later.assert_called_once_with()


def test_its_end_is_told(scene: Scene) -> None:
    scene.stream.connection_lost(None)
    scene.over.assert_called_once_with()
    scene.node.forget.assert_called_once_with(scene.stream)
