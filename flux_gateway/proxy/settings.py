"""Settings of a proxy: section `proxy`."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

import msgspec
from msgspec import Meta

Network = IPv4Network | IPv6Network


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set on a proxy. Sizes in bytes, times in seconds."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="name of the proxy")] = "proxy-1"
    host: Annotated[str, Meta(min_length=1, description="address clients connect to")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port clients connect to")] = 8080
    admin_host: Annotated[str, Meta(min_length=1, description="address of admin HTTP")] = "127.0.0.1"
    admin_port: Annotated[int, Meta(ge=1, le=65535, description="port of admin HTTP")] = 8081
    source: Annotated[str, Meta(description="own address to dial nodes and Redis from")] = ""
    token_file: Annotated[str, Meta(description="file with the cluster's admin token")] = ""
    query_name: Annotated[str, Meta(description="query parameter with the affinity key")] = "session"
    header_name: Annotated[str, Meta(description="header with the affinity key")] = "X-Flux-Session"
    cookie_name: Annotated[str, Meta(description="cookie with the affinity key")] = "flux_session"
    head_limit: Annotated[int, Meta(ge=256, le=2**20, description="largest request head, bytes")] = 16_384
    head_timeout: Annotated[float, Meta(gt=0, le=300, description="seconds for the whole request head")] = 10.0
    dial_timeout: Annotated[float, Meta(gt=0, le=60, description="seconds to connect to a node")] = 1.0
    answer_timeout: Annotated[float, Meta(gt=0, le=60, description="seconds for a node to answer a handshake")] = 5.0
    close_timeout: Annotated[float, Meta(gt=0, le=60, description="seconds for a client to leave after a close")] = 5.0
    drain_timeout: Annotated[float, Meta(ge=0, le=3600, description="seconds to close clients when it stops")] = 30.0
    drain_grace: Annotated[
        float, Meta(ge=0, le=600, description="seconds it still accepts when it stops and is not ready any more")
    ] = 0.0
    load_factor: Annotated[float, Meta(ge=1, le=100, description="bounded load: times the mean a node may hold")] = 1.25
    load_floor: Annotated[int, Meta(ge=1, description="connections below which no node counts as overloaded")] = 32
    max_connections: Annotated[int, Meta(ge=0, description="clients at most; 0: what open files allow")] = 0
    max_connections_per_ip: Annotated[int, Meta(ge=0, description="clients from one address; 0: no limit")] = 1000
    unlimited_networks: Annotated[
        tuple[str, ...], Meta(description="networks the per-address limit does not apply to")
    ] = ("127.0.0.1/32",)
    link_interval: Annotated[float, Meta(gt=0, le=60, description="seconds between pings on a link")] = 1.0
    link_silence: Annotated[float, Meta(gt=0, le=600, description="seconds of silence until a node is suspect")] = 2.9
    slow_start: Annotated[float, Meta(ge=0, le=3600, description="seconds until a returning node is full again")] = 10.0
    snapshot_interval: Annotated[float, Meta(gt=0, le=60, description="seconds between reads of the registry")] = 2.0
    dead_after: Annotated[float, Meta(gt=0, le=600, description="seconds without link until clients are closed")] = 15.0
    move_concurrency: Annotated[int, Meta(ge=1, le=10_000, description="sessions that may be between two nodes")] = 16
    rebalance_share: Annotated[
        float, Meta(ge=0, le=60, description="part of all sessions that may move in a minute to where they belong")
    ] = 0.1
    move_timeout: Annotated[float, Meta(gt=0, le=60, description="seconds a move may take before it is given up")] = 5.0
    keeper: Annotated[str, Meta(description="unix socket of the keeper; empty for none")] = ""
    backlog: Annotated[int, Meta(ge=1, le=65535, description="connections waiting to be accepted")] = 4096
    log_sessions: Annotated[bool, Meta(description="log a line when a session opens and one when it ends")] = False

    def __post_init__(self) -> None:
        for network in self.unlimited_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"unlimited_networks: {error}") from error
        if self.link_silence <= self.link_interval:
            raise ValueError("link_silence must be longer than link_interval")

    def unlimited(self) -> tuple[Network, ...]:
        """Return `unlimited_networks` as networks."""
        return tuple(ip_network(network) for network in self.unlimited_networks)
