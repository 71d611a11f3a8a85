"""Settings of a gateway node: section `gateway`."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

import msgspec
from msgspec import Meta

Network = IPv4Network | IPv6Network


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set on a node. Sizes in bytes, times in seconds."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="name of the node")] = "gateway-1"
    host: Annotated[str, Meta(min_length=1, description="own address: for clients, admin and the link")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port for clients and proxies")] = 7000
    admin_port: Annotated[int, Meta(ge=1, le=65535, description="port for admin HTTP and the link")] = 7100
    weight: Annotated[float, Meta(gt=0, le=1000, description="share of sessions, relative to other nodes")] = 1.0
    token_file: Annotated[str, Meta(description="file with the cluster's admin token")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="networks whose PROXY protocol headers are believed")
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...], Meta(description="values of Origin that browsers may come from; empty for all")
    ] = ()
    max_connections: Annotated[int, Meta(ge=1, description="connections this node holds at most")] = 100_000
    max_message: Annotated[int, Meta(ge=125, le=2**30, description="largest message from a client, bytes")] = 2**20
    head_limit: Annotated[int, Meta(ge=256, le=2**20, description="largest request head, bytes")] = 16_384
    head_timeout: Annotated[float, Meta(gt=0, le=300, description="seconds for the whole request head")] = 10.0
    outbox_limit: Annotated[
        int, Meta(ge=1024, le=2**30, description="bytes that may wait for one slow client before it is closed")
    ] = 2**20
    ping_interval: Annotated[float, Meta(gt=0, le=3600, description="seconds between pings to a client")] = 25.0
    ping_timeout: Annotated[float, Meta(gt=0, le=3600, description="seconds to wait for the pong")] = 10.0
    close_timeout: Annotated[float, Meta(gt=0, le=60, description="seconds for a client to answer a close")] = 5.0
    drain_timeout: Annotated[float, Meta(ge=0, le=3600, description="seconds a drain may last")] = 30.0
    deflate: Annotated[bool, Meta(description="offer permessage-deflate, without context takeover")] = False
    backlog: Annotated[int, Meta(ge=1, le=65535, description="connections waiting to be accepted")] = 4096
    log_sessions: Annotated[bool, Meta(description="log a line when a session opens and one when it ends")] = False

    def __post_init__(self) -> None:
        if self.ping_timeout >= self.ping_interval:
            raise ValueError(
                f"ping_timeout ({self.ping_timeout:g}) must be shorter than ping_interval ({self.ping_interval:g})"
            )
        for network in self.trusted_proxies:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from error

    def trusted_networks(self) -> tuple[Network, ...]:
        """Return `trusted_proxies` as networks."""
        return tuple(ip_network(network) for network in self.trusted_proxies)
