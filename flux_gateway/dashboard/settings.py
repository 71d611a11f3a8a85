"""Section `dashboard` of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta

SPARE_THREADS = 4
"""Threads that streams may never take, so that pages, the API and the health checks stay reachable."""


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the dashboard can be told, apart from where Redis is (section `redis`)."""

    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 9090
    threads: Annotated[
        int, Meta(ge=SPARE_THREADS + 1, le=1000, description="threads that answer requests; an open page takes one")
    ] = 32
    token_file: Annotated[
        str, Meta(description="file that holds the cluster's admin token; empty or unreadable: read-only")
    ] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="host names under which the dashboard may be asked for, besides localhost and IP addresses"),
    ] = ()
    secure_cookie: Annotated[
        bool, Meta(description="send the session cookie over https only; set it behind a TLS proxy")
    ] = False
    unlock_hours: Annotated[
        float, Meta(gt=0, le=168, description="hours until an operator has to enter the token again")
    ] = 8.0

    @property
    def streams(self) -> int:
        """How many pages may be live at a time. Further ones are told to poll instead."""
        return self.threads - SPARE_THREADS
