"""`core.deflate`: a session's compression as a header's value, and back."""

import pytest
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from flux_gateway.core.deflate import from_header, to_header
from flux_gateway.core.errors import ThawError, Unmovable

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    "wanted",
    ["", "; client_max_window_bits", "; client_max_window_bits=9", "; server_max_window_bits=10",
     "; server_max_window_bits=9; client_max_window_bits=8", "; server_max_window_bits=15"],
)  # fmt: skip
def test_what_websockets_negotiates_is_carried(wanted: str) -> None:
    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    ((name, parameters),) = parse_extension("permessage-deflate" + wanted)
    answered, extension = factory.process_request_params(parameters, [])
    for value in (build_extension([(name, answered)]), to_header([extension])):
        (thawed,) = from_header(value)
        assert repr(thawed) == repr(extension)


def test_no_extension_is_an_empty_value() -> None:
    assert to_header([]) == ""
    assert from_header("") == []


def test_window_bits_are_in_the_value_only_where_they_were_asked_for() -> None:
    assert to_header([PerMessageDeflate(True, True, 15, 15)]) == PLAIN
    asked = PerMessageDeflate(True, True, 9, 10)
    assert to_header([asked]) == PLAIN + "; server_max_window_bits=10; client_max_window_bits=9"


@pytest.mark.parametrize(
    "extensions",
    [
        [PerMessageDeflate(False, True, 15, 15)],
        [PerMessageDeflate(True, False, 15, 15)],
        [Extension()],
        [PerMessageDeflate(True, True, 15, 15)] * 2,
    ],
    ids=["client's context", "server's context", "another", "two"],
)
def test_what_has_a_state_of_its_own_cannot_move(extensions: list[Extension]) -> None:
    with pytest.raises(Unmovable):
        to_header(extensions)


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate", "permessage-deflate; server_no_context_takeover", "x-webkit-deflate-frame",
        f"{PLAIN}; server_max_window_bits=8", f"{PLAIN}; client_max_window_bits=16",
        f"{PLAIN}; client_max_window_bits", f"{PLAIN}; level=9", f"{PLAIN}, {PLAIN}",
        f"{PLAIN}; client_no_context_takeover", f"{PLAIN}=1", "; ;", "\0",
    ],
)  # fmt: skip
def test_what_this_node_cannot_do_is_not_thawed(value: str) -> None:
    with pytest.raises(ThawError, match="not known here"):
        from_header(value)
