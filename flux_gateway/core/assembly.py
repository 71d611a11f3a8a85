"""Whole messages out of frames, and whether their text is UTF-8 (RFC 6455, sections 5.4 and 8.1)."""

from codecs import IncrementalDecoder, getincrementaldecoder, utf_8_decode

from websockets.frames import Frame, Opcode

from flux_gateway.core.frames import BINARY, TEXT, Buffer

PONG = 0xA
_TEXT, _CONT, _BINARY, _PONG = Opcode.TEXT, Opcode.CONT, Opcode.BINARY, Opcode.PONG
_NOTHING = (0, b"")


class Assembly:
    """Joins the data frames of one client. The protocol layer has judged their order already."""

    __slots__ = ("_decoder", "_parts")

    def __init__(self) -> None:
        self._parts: bytearray | None = None
        self._decoder: IncrementalDecoder | None = None

    def add(self, frame: Frame) -> tuple[int, Buffer]:
        """Return (opcode, payload): of the message that this frame completes, of a pong, or (0, b"").

        Raises UnicodeDecodeError on bad text.
        """
        opcode, data = frame.opcode, frame.data
        if opcode is _TEXT:
            if frame.fin:
                utf_8_decode(data, "strict", True)
                return TEXT, data
            # Fragment by fragment, so that bad text is refused as soon as it is seen.
            self._decoder = getincrementaldecoder("utf-8")()
            self._decoder.decode(bytes(data))
            self._parts = bytearray(data)
        elif opcode is _BINARY:
            if frame.fin:
                return BINARY, data
            self._parts = bytearray(data)
        elif opcode is _CONT:
            return self._join(data, frame.fin)
        elif opcode is _PONG:
            return PONG, data
        return _NOTHING

    def _join(self, data: Buffer, final: bool) -> tuple[int, Buffer]:
        payload, text = self._parts, self._decoder
        assert payload is not None, "the protocol refuses a continuation without a beginning"
        payload += data
        if text is not None:
            text.decode(bytes(data), final)
        if not final:
            return _NOTHING
        self._parts = self._decoder = None
        return (BINARY if text is None else TEXT), payload
