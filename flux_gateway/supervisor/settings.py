"""Settings of a cluster on one machine: section `cluster`."""

from typing import Annotated

import msgspec
from msgspec import Meta


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `flux up` starts, and where it listens."""

    gateways: Annotated[int, Meta(ge=1, le=200, description="how many gateway nodes")] = 3
    proxies: Annotated[int, Meta(ge=1, le=16, description="how many proxies; they share the port")] = 1
    host: Annotated[str, Meta(min_length=1, description="address clients connect to")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port clients connect to")] = 8080
    backlog: Annotated[int, Meta(ge=1, le=65535, description="clients that wait while their proxy restarts")] = 4096
    dashboard_host: Annotated[str, Meta(min_length=1, description="address of the dashboard")] = "127.0.0.1"
    dashboard_port: Annotated[int, Meta(ge=1, le=65535, description="port of the dashboard")] = 9090
    redis_port: Annotated[int, Meta(ge=1, le=65535, description="port of the cluster's own Redis")] = 6379
    network: Annotated[
        int, Meta(ge=0, le=255, description="second byte of the nodes' loopback addresses 127.X.1.1, 127.X.1.2, ...")
    ] = 0
    drain_timeout: Annotated[float, Meta(ge=0, le=3600, description="seconds a drain may last")] = 30.0
    heartbeat_interval: Annotated[float, Meta(ge=0.1, le=60, description="seconds between heartbeats")] = 5.0

    def address(self, group: int, number: int) -> str:
        """Return the loopback address of a process: group 1 gateways, 2 proxies, 3 Redis; numbers from 1."""
        return f"127.{self.network}.{group}.{number}"


GATEWAY_PORT = 7000
GATEWAY_ADMIN_PORT = 7100
PROXY_ADMIN_PORT = 8081
