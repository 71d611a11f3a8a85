"""One client's subscription to one channel, on the node that holds the client."""

from typing import TYPE_CHECKING

from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.state import SubscriptionState

if TYPE_CHECKING:
    from flux_gateway.gateway.messaging.client import Client


class Subscription:
    """What was granted, and how far the client is. Its place in the fan-out is the channel's affair."""

    __slots__ = (
        "ahead", "announced", "by_token", "channel", "client", "expire_at", "info", "join_leave", "positioned",
        "presence",
        "recoverable", "refreshable", "resume", "rules", "server_side",
    )  # fmt: skip

    def __init__(self, client: "Client", channel: str, rules: Namespace) -> None:
        self.client = client
        self.channel = channel
        self.rules = rules
        self.ahead = 0
        """The client knows the channel up to here although this node does not yet; 0 when it is as far as the node."""
        self.resume: Position | None = None
        """Where another node has left off, as long as this one has not taken it up."""
        self.positioned = False
        """The client is told when it has missed something."""
        self.recoverable = False
        self.presence = False
        """The client is listed among those who are there."""
        self.announced = False
        """The others are told when it comes and goes."""
        self.join_leave = False
        """The client hears of others who come and go."""
        self.by_token = False
        """Named by the token of the connection."""
        self.server_side = False
        """Made by the server; the client cannot subscribe anew by itself."""
        self.expire_at = 0.0
        """Unix seconds after which it ends unless it is refreshed; 0 for never."""
        self.refreshable = False
        """The client itself brings a new token before the old one expires."""
        self.info = b""
        """`chan_info` of the client in this channel."""

    def state(self, offset: int = 0, epoch: str = "", *, returning: bool = False) -> SubscriptionState:
        """Return what another node has to know of it; `offset` and `epoch` say how far the client has been served."""
        return SubscriptionState(
            offset=offset,
            epoch=epoch,
            expire_at=self.expire_at,
            refreshable=self.refreshable,
            info=self.info,
            positioned=self.positioned,
            recoverable=self.recoverable,
            presence=self.presence,
            announced=self.announced,
            join_leave=self.join_leave,
            by_token=self.by_token,
            server_side=self.server_side,
            returning=returning,
        )

    @classmethod
    def restored(cls, client: "Client", channel: str, rules: Namespace, kept: SubscriptionState) -> "Subscription":
        """Return the subscription that another node has had."""
        one = cls(client, channel, rules)
        one.expire_at, one.info, one.server_side = kept.expire_at, kept.info, kept.server_side
        one.refreshable, one.by_token = kept.refreshable, kept.by_token
        one.positioned, one.recoverable = kept.positioned, kept.recoverable
        one.presence, one.announced, one.join_leave = kept.presence, kept.announced, kept.join_leave
        one.resume = None if kept.returning else Position(kept.offset, kept.epoch)
        return one
