"""Settings of a keeper: section `keeper`."""

from typing import Annotated

import msgspec
from msgspec import Meta

_LONGEST_PATH = 107
"""Linux allows 108 bytes for the path of a unix socket, with the zero that ends it: unix(7)."""


class KeeperSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set on a keeper."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="name of the keeper")] = (
        "keeper-1"
    )
    socket: Annotated[
        str, Meta(pattern="^/", description="unix socket its proxy talks to; the directory must be the owner's alone")
    ] = "/run/flux-keeper/keeper.sock"
    patience: Annotated[
        float, Meta(gt=0, le=3600, description="seconds that connections wait for the next proxy; then they are closed")
    ] = 30.0

    def __post_init__(self) -> None:
        if len(self.socket.encode()) > _LONGEST_PATH:
            raise ValueError(f"socket: longer than {_LONGEST_PATH} bytes, which Linux does not allow: {self.socket}")
