"""Whatever a client sends: the node never stumbles, says the right close code, and others notice nothing.

The fuzz is bounded; longer runs: FUZZ_EXAMPLES=5000.
"""

import json
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flux_gateway.messaging.codes import CloseCode
from tests.integration.gateway.proxy_side import QUIET
from tests.integration.gateway.wire import BINARY, CLOSE, CONT, TEXT, Arrived, Wire, frame
from tests.integration.messaging_model.dialect import DIALECTS, PROTOCOLS
from tests.integration.messaging_model.garbled import ENCODINGS, GARBLED, JSON, Talk, command, opcode, talk
from tests.integration.messaging_model.relay import PATH
from tests.processes import Daemon, Stack

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))

fuzz = settings(
    max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

RULES = {"presence": True, "join_leave": True, "history_size": 10, "history_ttl": 60, "allow_recovery": True}
LARGEST = 65_536


@pytest.fixture(scope="module")
def node(shared: Stack) -> Iterator[Daemon]:
    """The node; it must not have logged a traceback at the end."""
    node = shared.gateway(
        messaging_insecure="true", messaging_default=json.dumps(RULES), messaging_ping_interval=QUIET
    )
    yield node
    assert node.running
    assert "Traceback" not in node.said()


def connect(node: Daemon, encoding: str, *, hello: bool = True) -> Wire:
    """Return a connection that has, unless told otherwise, connected in the protocol's sense, too."""
    wire = Wire(node.address)
    wire.open(PATH, {"Sec-WebSocket-Protocol": PROTOCOLS[encoding]})
    if hello:
        dialect = DIALECTS[encoding]
        wire.send(frame(dialect.opcode, dialect.command(1, "connect", {})))
        (said,) = dialect.read(wire.read().payload)
        assert (said.id, said.kind) == (1, "connect")
    return wire


class Bystander:
    """Another client: it must hear what it publishes, whatever else happens on the node."""

    def __init__(self, node: Daemon, encoding: str) -> None:
        self._dialect = DIALECTS[encoding]
        self.wire = connect(node, encoding)
        self._number = 1
        self._send("subscribe", {"channel": f"calm-{encoding}"})
        self._channel = f"calm-{encoding}"
        self._hear("subscribe")

    def _send(self, name: str, fields: dict[str, object]) -> None:
        self._number += 1
        self.wire.send(frame(self._dialect.opcode, self._dialect.command(self._number, name, fields)))

    def _hear(self, *kinds: str) -> None:
        wanted = set(kinds)
        while wanted:
            arrived = self.wire.read()
            assert arrived.opcode == self._dialect.opcode, arrived
            for said in self._dialect.read(arrived.payload):
                assert said.kind in (*kinds, "join"), said
                wanted.discard(said.kind)

    def undisturbed(self) -> None:
        """Publish, and hear it."""
        self._send("publish", {"channel": self._channel, "data": {"n": self._number}})
        self._hear("publish", "pub")


@pytest.fixture(scope="module")
def bystanders(node: Daemon) -> Iterator[list[Bystander]]:
    """One client for each encoding."""
    found = [Bystander(node, encoding) for encoding in ENCODINGS]
    yield found
    for one in found:
        one.wire.socket.close()


@pytest.fixture(autouse=True)
def no_connection_stays() -> None:
    """Let the bystanders' connections stay: each test closes its own."""


@pytest.fixture(autouse=True)
def others(node: Daemon, bystanders: list[Bystander]) -> Iterator[None]:
    """After each test others go on as before, and the node has logged nothing bad."""
    yield
    for one in bystanders:
        one.undisturbed()
    assert "Traceback" not in node.said()


def outcome(wire: Wire) -> tuple[int, str]:
    """Return how the node ends the connection."""
    wire.socket.settimeout(5)
    with wire:
        return wire.closed()


BAD = (3501, "bad request")

# What is not the protocol.

@pytest.mark.parametrize(("encoding", "what"), [(one, what) for one in ENCODINGS for what in GARBLED[one]])
@pytest.mark.parametrize("hello", [True, False], ids=["connected", "not connected"])
def test_a_frame_that_is_not_the_protocol(node: Daemon, encoding: str, what: str, hello: bool) -> None:
    wire = connect(node, encoding, hello=hello)
    wire.send(frame(opcode(encoding), GARBLED[encoding][what]))
    assert outcome(wire) == BAD


def test_a_payload_of_any_size_and_depth_that_can_be_read(node: Daemon) -> None:
    """What is data is nobody's business but its readers'."""
    for data in (b"9" * 60_000, b"[" * 500 + b"]" * 500, b"1e999", b"-0", b"[ ]"):
        with connect(node, JSON) as wire:
            wire.send(frame(TEXT, b'{"id":2,"subscribe":{"channel":"data"}}'))
            wire.send(frame(TEXT, b'{"id":3,"publish":{"channel":"data","data":' + data + b"}}"))
            heard = b""
            while b'"pub":' not in heard:
                heard += wire.read().payload
            assert b'"data":' + data in heard


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("name", "fields"), [
    ("subscribe", {"channel": "a"}), ("publish", {"channel": "a", "data": {}}), ("rpc", {}), ("ping", {}), ("send", {}),
    ("unsubscribe", {"channel": "a"}), ("history", {"channel": "a"}), ("presence", {"channel": "a"}),
    ("refresh", {"token": "a"}), ("sub_refresh", {"channel": "a", "token": "a"}),
])  # fmt: skip
def test_a_command_before_connect(node: Daemon, encoding: str, name: str, fields: dict[str, object]) -> None:
    wire = connect(node, encoding, hello=False)
    wire.send(frame(opcode(encoding), command(encoding, 1, name, fields)))
    assert outcome(wire) == BAD


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("hello", [True, False], ids=["connected", "not connected"])
def test_a_pong_nobody_asked_for(node: Daemon, encoding: str, hello: bool) -> None:
    wire = connect(node, encoding, hello=hello)
    wire.send(frame(opcode(encoding), DIALECTS[encoding].pong()))
    assert outcome(wire) == BAD


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_command_without_a_number_counts_as_a_pong(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(opcode(encoding), command(encoding, 0, "presence", {"channel": "a"})))
    assert outcome(wire) == BAD


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_connect_twice(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(opcode(encoding), command(encoding, 2, "connect")))
    assert outcome(wire) == BAD


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", [
    "subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "sub_refresh",
])  # fmt: skip
def test_no_channel(node: Daemon, encoding: str, name: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(opcode(encoding), command(encoding, 2, name)))
    assert outcome(wire) == BAD


# Frames.


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_message_over_the_limit(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(opcode(encoding), bytes(LARGEST + 1)))
    assert outcome(wire)[0] == 1009


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_fragments_over_the_limit(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(opcode(encoding), bytes(40_000), fin=False) + frame(CONT, bytes(40_000)))
    assert outcome(wire)[0] == 1009


def test_text_that_is_no_text(node: Daemon) -> None:
    wire = connect(node, JSON)
    wire.send(frame(TEXT, b'{"id":2,"subscribe":{"channel":"\xff\xfe"}}'))
    assert outcome(wire)[0] == 1007


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_other_kind_of_frame(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    wire.send(frame(BINARY if encoding == JSON else TEXT, b'{"id":2,"dance":{}}'))
    assert outcome(wire) == BAD


# Many.


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_many_commands_in_one_frame(node: Daemon, encoding: str) -> None:
    """All are answered, in their order."""
    wire = connect(node, encoding)
    between = b"\n" if encoding == JSON else b""
    numbers = range(2, 1502)
    wire.send(frame(opcode(encoding), between.join(command(encoding, number, "ping") for number in numbers)))
    answered: list[int] = []
    while len(answered) < len(numbers):
        answered += [said.id for said in DIALECTS[encoding].read(wire.read().payload)]
    assert answered == list(numbers)
    wire.socket.close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_many_frames_at_once(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    numbers = range(2, 3002)
    wire.send(b"".join(frame(opcode(encoding), command(encoding, number, "ping")) for number in numbers))
    answered: list[int] = []
    while len(answered) < len(numbers):
        answered += [said.id for said in DIALECTS[encoding].read(wire.read().payload)]
    assert answered == list(numbers)
    wire.socket.close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_follows_a_refused_frame_is_not_carried_out(node: Daemon, encoding: str) -> None:
    wire = connect(node, encoding)
    bad = b"{]" if encoding == JSON else b"\x05"
    wire.send(frame(opcode(encoding), bad) + frame(opcode(encoding), command(encoding, 2, "ping")))
    assert outcome(wire) == BAD


# Anything at all.


def survives(node: Daemon, encoding: str, hello: bool, payloads: list[tuple[int, bytes]]) -> None:
    """Send it all, then something that ends every connection: the node has to end it by a code of the protocol."""
    wire = connect(node, encoding, hello=hello)
    wire.socket.settimeout(5)
    with wire:
        try:
            for kind, payload in payloads:
                wire.send(frame(kind, payload))
            wire.send(frame(opcode(encoding), DIALECTS[encoding].pong()))
        except OSError:
            # The node has closed already.
            pass
        (close,) = (arrived for arrived in _frames(wire) if arrived.opcode == CLOSE)
        (code,) = struct.unpack("!H", close.payload[:2])
        assert code in (CloseCode.INVALID_TOKEN, CloseCode.BAD_REQUEST, CloseCode.NOT_AVAILABLE) or (
            code == 1007 and encoding == JSON
        )
        assert close.payload[2:]


def _frames(wire: Wire) -> Iterator[Arrived]:
    for arrived in wire.frames():
        yield arrived
        if arrived.opcode == CLOSE:
            return


anything = st.binary(max_size=300)


@fuzz
@given(encoding=st.sampled_from(ENCODINGS), hello=st.booleans(), payloads=st.lists(anything, min_size=1, max_size=3))
def test_random_bytes(node: Daemon, encoding: str, hello: bool, payloads: list[bytes]) -> None:
    survives(node, encoding, hello, [(opcode(encoding), payload) for payload in payloads])


@fuzz
@given(talk=talk())
def test_commands_that_make_no_sense(node: Daemon, talk: Talk) -> None:
    survives(node, *talk)
