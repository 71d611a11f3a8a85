"""Settings of the command line on a host of a deployed cluster: section `client` of `/etc/flux/flux.toml`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flux_gateway.load.plan import parse_url


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a deployed cluster is found. Its nodes and proxies are found through the registry."""

    url: Annotated[
        str, Meta(min_length=1, description="where clients connect, without a path: ws://ADDRESS[:PORT]")
    ]
    dashboard_url: Annotated[str, Meta(description="address of the dashboard's page; empty if there is none")] = ""
    token_file: Annotated[
        str, Meta(description="file with the cluster's admin token; without it nothing can be drained")
    ] = ""
    api_key_file: Annotated[
        str, Meta(description="file with the key of the server API; without it `flux publish` asks for one")
    ] = ""

    def __post_init__(self) -> None:
        faults = []
        try:
            if parse_url(self.url).path != "/":
                faults.append(f"[client] url: {self.url}: give it without a path, the commands add their own")
        except ValueError as error:
            faults.append(f"[client] url: {error}")
        if self.dashboard_url and not self.dashboard_url.startswith(("http://", "https://")):
            faults.append(f"[client] dashboard_url: {self.dashboard_url}: it looks like http://10.0.0.16:9090/dashboard")
        if faults:
            raise ValueError("; ".join(faults))
