"""Settings of messaging on a node: section `messaging`."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from flux_gateway.messaging.channels import Channels
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.registry.sentinel import parse_address

Url = Annotated[str, Meta(pattern=r"^(https?://[^\s/]+.*)?$")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]

OWN_HEADERS = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that belong to a request itself and so cannot be passed on."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

NAMESPACE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class MessagingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set on messaging, the same on every node of a cluster. Sizes in bytes, times in seconds.

    Raises ValueError for settings that contradict each other. Secrets come from files alone.
    """

    token_hmac_file: Annotated[str, Meta(description="file with the secret of HS256, HS384 and HS512 tokens")] = ""
    token_public_key_file: Annotated[
        str, Meta(description="file with the public keys, as PEM, of RS*, ES* and EdDSA tokens")
    ] = ""
    token_jwks_url: Annotated[Url, Meta(description="where the set of public keys (JWKS) is fetched")] = ""
    token_audience: Annotated[str, Meta(description="what `aud` of a token must name; empty: not looked at")] = ""
    token_issuer: Annotated[str, Meta(description="what `iss` of a token must be; empty: not looked at")] = ""
    api_key_file: Annotated[str, Meta(description="file with the key of the HTTP API; empty: the API is off")] = ""
    insecure: Annotated[
        bool, Meta(description="no token needed, every channel operation allowed: for trying things out only")
    ] = False
    anonymous: Annotated[bool, Meta(description="clients may connect without a token; their user id is empty")] = False
    user_personal_channel: Annotated[
        bool, Meta(description="subscribe each connection with a user id to the channel `#<user id>`")
    ] = False
    personal_channel_namespace: Annotated[
        str, Meta(description="namespace of the personal channels; empty: without")
    ] = ""

    max_message: Annotated[int, Meta(ge=125, le=2**30, description="largest message from a client, bytes")] = 65_536
    channel_limit: Annotated[int, Meta(ge=1, le=10**6, description="subscriptions of one connection at most")] = 128
    channel_max_length: Annotated[int, Meta(ge=1, le=4096, description="longest name of a channel, bytes")] = 255
    commands_per_second: Annotated[float, Meta(ge=0, description="commands of one connection; 0: no limit")] = 0.0
    bytes_per_second: Annotated[float, Meta(ge=0, description="bytes from one connection; 0: no limit")] = 0.0
    connections_per_user: Annotated[
        int, Meta(ge=0, description="connections of one user across the cluster; 0: no limit")
    ] = 0
    connect_rate: Annotated[float, Meta(ge=0, description="connects a second on this node; 0: no limit")] = 0.0
    connect_queue: Annotated[int, Meta(ge=1, description="connects that may wait for their turn")] = 1000
    connect_timeout: Annotated[Seconds, Meta(description="seconds for a client to send its connect command")] = 15.0

    ping_interval: Annotated[
        int, Meta(ge=1, le=3600, description="whole seconds between pings to a client, as its SDK is told")
    ] = 25
    ping_timeout: Annotated[Seconds, Meta(description="seconds to wait for the pong")] = 8.0
    refresh_grace: Annotated[
        Seconds, Meta(description="seconds a connection or subscription lives on after it expired")
    ] = 25.0
    history_limit: Annotated[int, Meta(ge=1, le=10**6, description="publications in one answer about history")] = 300
    recovery_limit: Annotated[
        int, Meta(ge=1, le=10**6, description="publications that are recovered; who missed more starts anew")
    ] = 300
    presence_interval: Annotated[Seconds, Meta(description="seconds between refreshes of presence")] = 25.0
    presence_ttl: Annotated[Seconds, Meta(description="seconds until presence that is not refreshed ends")] = 60.0
    position_check: Annotated[
        Seconds, Meta(description="seconds between comparisons of a subscriber's position with its channel")
    ] = 40.0
    move_window: Annotated[
        Seconds, Meta(description="seconds that channels without history keep publications for moving sessions")
    ] = 30.0
    move_window_size: Annotated[
        int, Meta(ge=1, le=10**6, description="publications that channels without history keep for that")
    ] = 1000
    record_ttl: Annotated[Seconds, Meta(description="seconds a session's record outlives its last refresh")] = 600.0
    idempotency_ttl: Annotated[
        Seconds, Meta(description="seconds in which a second publication with the same idempotency key is dropped")
    ] = 300.0

    webhook_connect_url: Annotated[Url, Meta(description="asked who a client without token is")] = ""
    webhook_refresh_url: Annotated[Url, Meta(description="asked whether an expired connection goes on")] = ""
    webhook_subscribe_url: Annotated[
        Url, Meta(description="asked whether a client may subscribe, in namespaces with subscribe_proxy_enabled")
    ] = ""
    webhook_publish_url: Annotated[
        Url, Meta(description="asked whether a client may publish, in namespaces with publish_proxy_enabled")
    ] = ""
    webhook_rpc_url: Annotated[Url, Meta(description="answers rpc calls")] = ""
    webhook_sub_refresh_url: Annotated[Url, Meta(description="asked whether an expired subscription goes on")] = ""
    webhook_timeout: Annotated[Seconds, Meta(description="seconds for a webhook to answer")] = 1.0
    webhook_headers: Annotated[
        tuple[str, ...],
        Meta(description="names of headers of the client's handshake that webhooks get as headers, and of entries of "
                         "its `headers` map, which can hold anything and come as `headers` in the body"),
    ] = ()

    redis_cluster: Annotated[
        tuple[str, ...],
        Meta(description="some members of a Redis Cluster, as host:port, that keeps what belongs to messaging; user, "
                         "password and timeout are those of section `redis`. Empty: the Redis of section `redis`"),
    ] = ()

    default: Annotated[Namespace, Meta(description="rules of channels without a namespace; JSON")] = msgspec.field(
        default_factory=Namespace
    )
    namespaces: Annotated[
        dict[str, Namespace], Meta(description="rules of each namespace, by its name; JSON")
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ValueError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        if self.ping_timeout >= self.ping_interval:
            yield f"ping_timeout ({self.ping_timeout:g}) must be shorter than ping_interval ({self.ping_interval})"
        if self.presence_interval >= self.presence_ttl:
            yield (
                f"presence_interval ({self.presence_interval:g}) must be shorter than "
                f"presence_ttl ({self.presence_ttl:g})"
            )
        for name in self.namespaces:
            if not NAMESPACE_NAME.fullmatch(name):
                yield f"namespaces: {name!r} is no name for one; use letters, digits, '_', '.' and '-'"
        for name in self.webhook_headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
                yield f"webhook_headers: {name!r} cannot be passed on"
        for text in self.redis_cluster:
            try:
                parse_address(text, "redis_cluster")
            except ValueError as error:
                yield str(error)
        personal = self.personal_channel_namespace
        if personal and personal not in self.namespaces:
            yield f"personal_channel_namespace: there is no namespace {personal!r}"
        for event in ("subscribe", "publish"):
            asking = [
                name for name, rules in (("default", self.default), *self.namespaces.items())
                if getattr(rules, f"{event}_proxy_enabled")
            ]  # fmt: skip
            if asking and not getattr(self, f"webhook_{event}_url"):
                yield f"{event}_proxy_enabled ({', '.join(asking)}) needs webhook_{event}_url"

    def cluster_addresses(self) -> list[tuple[str, int]]:
        """Return `redis_cluster` as (host, port)."""
        return [parse_address(text, "redis_cluster") for text in self.redis_cluster]

    def channels(self) -> Channels:
        """Return the rules of every channel."""
        return Channels(self.default, self.namespaces, self.channel_max_length)
