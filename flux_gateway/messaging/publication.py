"""A publication and who made it: what travels through channels, is kept in streams, and reaches every subscriber."""

import msgspec


class ClientInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who a client is, as others see it. The payloads are the application's: of the connection, of the subscription."""

    user: str
    client: str
    conn_info: bytes = b""
    chan_info: bytes = b""


class Publication(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One message of a channel. `offset` is 0 where there is no history; `time` is unix milliseconds, 0 for unknown.

    `data` passes byte for byte. `info` says who published, if that was a client.
    """

    data: bytes
    offset: int = 0
    info: ClientInfo | None = None
    tags: dict[str, str] = {}
    time: int = 0
