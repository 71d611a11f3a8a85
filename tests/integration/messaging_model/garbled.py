"""What is not the client protocol, or is and makes no sense: by hand, and made up by hypothesis."""

from hypothesis import strategies as st

from tests.integration.messaging_model.dialect import DIALECTS, varint

JSON, PROTOBUF = "json", "protobuf"
ENCODINGS = (JSON, PROTOBUF)

Talk = tuple[str, bool, list[tuple[int, bytes]]]
"""Encoding, whether the client has connected before, and (opcode, payload) of its frames."""


def opcode(encoding: str) -> int:
    """Return the opcode of an encoding's frames."""
    return DIALECTS[encoding].opcode


def command(encoding: str, number: int, name: str, fields: dict[str, object] | None = None) -> bytes:
    """Return a command as a payload."""
    return DIALECTS[encoding].command(number, name, fields or {})


GARBLED = {
    JSON: {
        "nothing": b"", "a blank": b" ", "a line end": b"\n", "no object": b"[]", "a number": b"1", "a word": b"null",
        "half": b'{"id":2', "two without line end": b'{"id":2,"ping":{}}{"id":3,"ping":{}}',
        "a blank line between": b'{"id":2,"ping":{}}\n\n{"id":3,"ping":{}}', "two line ends": b'{"id":2,"ping":{}}\n\n',
        "two names": b'{"id":2,"ping":{},"rpc":{}}', "an unknown name": b'{"id":2,"dance":{}}',
        "a request that is none": b'{"id":2,"subscribe":[]}',
        "a channel that is none": b'{"id":2,"subscribe":{"channel":7}}',
        "an id that is none": b'{"id":"2","ping":{}}', "a negative id": b'{"id":-2,"ping":{}}',
        "half an id": b'{"id":2.5,"ping":{}}',
        "a huge id": b'{"id":99999999999999999999999999,"ping":{}}', "an endless id": b'{"id":1e999,"ping":{}}',
        "a negative offset": b'{"id":2,"subscribe":{"channel":"a","recover":true,"offset":-1}}',
        "a huge offset": b'{"id":2,"subscribe":{"channel":"a","recover":true,"offset":99999999999999999999999}}',
        "a huge limit": b'{"id":2,"history":{"channel":"a","limit":99999999999999999999999}}',
        "deep": b'{"id":2,"publish":{"channel":"a","data":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
        "deep and unknown": b'{"id":2,"x":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}",
        "deep and not closed": b'{"id":2,"publish":{"channel":"a","data":' + b"[" * 60_000,
        "a lone surrogate": b'{"id":2,"subscribe":{"channel":"\\ud800"}}',
        "a nul": b'{"id":2,"ping":{}}\0', "a byte order mark": b'\xef\xbb\xbf{"id":2,"ping":{}}',
        "a control character": b'{"id":2,"subscribe":{"channel":"a\tb"}}',
    },
    PROTOBUF: {
        "nothing": b"", "a varint that goes on": b"\x80", "a varint without end": b"\xff" * 11,
        "a length alone": b"\x05",
        "longer than it is": b"\xff\x7f\x08\x02", "a huge length": b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x08",
        "a field without value": b"\x01\x08", "a wrong wire type": b"\x02\x0f\x01", "field 0": b"\x02\x00\x01",
        "half a message": command(PROTOBUF, 2, "subscribe", {"channel": "abc"})[:-2],
        "trailing bytes": command(PROTOBUF, 2, "ping") + b"\x09", "text": b'{"id":2,"ping":{}}',
        "a channel that is no UTF-8": b"\x08\x08\x02\x2a\x04\x0a\x02\xff\xfe",
        "two names": b"\x06\x08\x02\x5a\x00\x6a\x00",
        "groups": varint(4000) + b"\x0b" * 4000,
    },
}  # fmt: skip

channels = st.sampled_from(["a", "b", "", "x" * 256, "no:such", "$private", "name#1", "\u00e4", "a\nb"])
numbers = st.sampled_from([0, 1, 2, 2**31 - 1])
tokens = st.sampled_from(["", "a", "a.b.c", "x" * 5000])
offsets = st.sampled_from([0, 1, 5, 2**53, 2**63 - 1])
FIELDS: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "connect": {"token": tokens, "name": tokens, "version": tokens},
    "subscribe": {
        "channel": channels, "token": tokens, "recover": st.booleans(), "offset": offsets, "epoch": tokens,
        "positioned": st.booleans(), "recoverable": st.booleans(), "join_leave": st.booleans(),
        "delta": st.sampled_from(["", "fossil", "x"]), "flag": st.sampled_from([0, 1, 2, 3]),
    },
    "unsubscribe": {"channel": channels},
    "publish": {"channel": channels, "data": st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )},
    "presence": {"channel": channels}, "presence_stats": {"channel": channels},
    "history": {
        "channel": channels, "limit": st.sampled_from([-1, 0, 1, -(2**31), 2**31 - 1]), "reverse": st.booleans(),
    },
    "ping": {}, "send": {}, "rpc": {"method": tokens}, "refresh": {"token": tokens},
    "sub_refresh": {"channel": channels, "token": tokens},
}  # fmt: skip


@st.composite
def commands(draw: st.DrawFn, encoding: str) -> bytes:
    """Return a command whose fields may hold what makes no sense."""
    name = draw(st.sampled_from(sorted(FIELDS)))
    chosen = draw(st.sets(st.sampled_from(sorted(FIELDS[name])))) if FIELDS[name] else set()
    return command(encoding, draw(numbers), name, {field: draw(FIELDS[name][field]) for field in sorted(chosen)})


@st.composite
def talk(draw: st.DrawFn) -> Talk:
    """Return frames of valid commands, some with a few bytes changed, taken out, or put in."""
    encoding = draw(st.sampled_from(ENCODINGS))
    between = b"\n" if encoding == JSON else b""
    payloads = []
    for _ in range(draw(st.integers(1, 4))):
        payload = bytearray(between.join(draw(st.lists(commands(encoding), min_size=1, max_size=4))))
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 5]))):
            at = draw(st.integers(0, len(payload)))
            length = draw(st.sampled_from([0, 1, 1, 4]))
            payload[at : at + length] = draw(st.binary(max_size=4))
        payloads.append((opcode(encoding), bytes(payload)))
    return encoding, draw(st.booleans()), payloads
