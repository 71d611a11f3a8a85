"""Namespaces: what may be done in the channels whose names begin alike, and what is kept of them."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_LONG = 10 * 366 * 86_400
"""Seconds in ten years: more is a mistake."""


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the channels of one namespace, named as upstream names them. Times in seconds.

    Raises ValueError for options that contradict each other.
    """

    presence: Annotated[bool, Meta(description="keep who is subscribed")] = False
    join_leave: Annotated[bool, Meta(description="tell of subscribers that come and go")] = False
    force_push_join_leave: Annotated[
        bool, Meta(description="tell every subscriber, not only those that ask for it and may read presence")
    ] = False
    history_size: Annotated[int, Meta(ge=0, le=10**6, description="publications kept; 0: no history")] = 0
    history_ttl: Annotated[
        float, Meta(ge=0, le=_LONG, description="seconds a publication is kept; 0: no history")
    ] = 0.0
    history_meta_ttl: Annotated[
        float, Meta(ge=1, le=_LONG, description="seconds epoch and offset are kept after the last use of a channel")
    ] = 2_592_000.0
    force_positioning: Annotated[
        bool, Meta(description="every subscriber's position is watched, so that it hears of a gap")
    ] = False
    allow_positioning: Annotated[bool, Meta(description="a subscriber may ask for positioning")] = False
    force_recovery: Annotated[bool, Meta(description="every subscriber gets what it missed when it is back")] = False
    allow_recovery: Annotated[bool, Meta(description="a subscriber may ask for recovery")] = False
    force_recovery_mode: Annotated[
        Literal["stream", "cache"],
        Meta(description="stream: recovery gives all that was missed; cache: only the newest publication"),
    ] = "stream"
    allow_subscribe_for_client: Annotated[
        bool, Meta(description="clients with a user id may subscribe without a token")
    ] = False
    allow_subscribe_for_anonymous: Annotated[
        bool, Meta(description="with allow_subscribe_for_client: clients without a user id, too")
    ] = False
    allow_publish_for_client: Annotated[bool, Meta(description="clients with a user id may publish")] = False
    allow_publish_for_subscriber: Annotated[bool, Meta(description="subscribers with a user id may publish")] = False
    allow_publish_for_anonymous: Annotated[
        bool, Meta(description="with one of the two before: clients without a user id, too")
    ] = False
    allow_presence_for_client: Annotated[bool, Meta(description="clients with a user id may read presence")] = False
    allow_presence_for_subscriber: Annotated[
        bool, Meta(description="subscribers with a user id may read presence")
    ] = False
    allow_presence_for_anonymous: Annotated[
        bool, Meta(description="with one of the two before: clients without a user id, too")
    ] = False
    allow_history_for_client: Annotated[bool, Meta(description="clients with a user id may read history")] = False
    allow_history_for_subscriber: Annotated[
        bool, Meta(description="subscribers with a user id may read history")
    ] = False
    allow_history_for_anonymous: Annotated[
        bool, Meta(description="with one of the two before: clients without a user id, too")
    ] = False
    allow_user_limited_channels: Annotated[
        bool, Meta(description="`name#42,43` is for the users 42 and 43 alone")
    ] = False
    channel_regex: Annotated[
        str,
        Meta(description="pattern (Python's `re`, searched) for the name without namespace; empty: any ASCII name"),
    ] = ""
    subscribe_proxy_enabled: Annotated[bool, Meta(description="ask the subscribe webhook")] = False
    publish_proxy_enabled: Annotated[bool, Meta(description="ask the publish webhook")] = False

    def __post_init__(self) -> None:
        if bool(self.history_size) != bool(self.history_ttl):
            raise ValueError("history_size and history_ttl: give both, or neither")
        if not self.recoverable and (self.force_recovery or self.allow_recovery):
            raise ValueError("recovery needs history: set history_size and history_ttl")
        if self.history_meta_ttl < self.history_ttl:
            raise ValueError("history_meta_ttl must not be shorter than history_ttl")
        if self.force_push_join_leave and not self.join_leave:
            raise ValueError("force_push_join_leave needs join_leave")
        try:
            re.compile(self.channel_regex)
        except re.error as error:
            raise ValueError(f"channel_regex: {error}") from error

    @property
    def recoverable(self) -> bool:
        """Whether publications are kept, and so can be recovered."""
        return self.history_size > 0 and self.history_ttl > 0
