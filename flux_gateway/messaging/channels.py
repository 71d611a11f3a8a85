"""Names of channels, and which namespace's rules hold for one (facts, section 10)."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from flux_gateway.messaging.codes import ClientError, ErrorCode
from flux_gateway.messaging.namespaces import Namespace

PRIVATE = "$"
"""Begins the name of a channel that is subscribed with a token only."""
NAMESPACE = ":"
"""Ends the name of the namespace."""
USERS = "#"
"""Its last one begins the list of users."""
USER = ","
"""Separates users."""


class ChannelName(NamedTuple):
    """A channel's name and its parts."""

    name: str
    """All of it, as the client gave it."""
    namespace: str
    """Empty: without."""
    rest: str
    """What follows the namespace."""
    private: bool
    users: tuple[str, ...] | None
    """Whom the name lists; None if it lists nobody. It counts only where the namespace allows user-limited channels."""

    @classmethod
    def parse(cls, channel: str, max_length: int = 255) -> "ChannelName":
        """Take a name apart. Raises `ClientError` 107 when it is empty or longer than `max_length` bytes."""
        if not channel or len(channel) > max_length or (not channel.isascii() and _size(channel) > max_length):
            raise ClientError(ErrorCode.BAD_REQUEST)
        public = channel.removeprefix(PRIVATE)
        namespace, boundary, rest = public.partition(NAMESPACE)
        if not boundary:
            namespace, rest = "", public
        _, boundary, users = rest.rpartition(USERS)
        listed = tuple(users.split(USER)) if boundary else None
        return cls(channel, namespace, rest, public is not channel and public != channel, listed)

    def limited(self, namespace: Namespace) -> bool:
        """Whether the channel is for listed users alone."""
        return self.users is not None and namespace.allow_user_limited_channels

    def lists(self, user: str) -> bool:
        """Whether the name lists the user. Nobody is listed by an empty id."""
        return user != "" and self.users is not None and user in self.users


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def personal_channel(user: str, namespace: str = "") -> str:
    """Return the channel that a user is subscribed to by the server: `#42`, or `ns:#42`."""
    return f"{namespace}{NAMESPACE}{USERS}{user}" if namespace else f"{USERS}{user}"


class Channels:
    """The rules of every channel: those of its namespace."""

    def __init__(self, default: Namespace, namespaces: Mapping[str, Namespace], max_length: int = 255) -> None:
        """`default` holds for names without a namespace. `max_length` in bytes."""
        self._max_length = max_length
        self._rules = {"": (default, re.compile(default.channel_regex))}
        self._rules |= {name: (rules, re.compile(rules.channel_regex)) for name, rules in namespaces.items()}

    def rules(self, channel: str) -> tuple[ChannelName, Namespace]:
        """Return a channel's parsed name and its namespace.

        Raises `ClientError`: 107 for a name that is too long or that the namespace does not want, 102 for a namespace
        that is not there.
        """
        name = ChannelName.parse(channel, self._max_length)
        # `:x` names a namespace without a name, which cannot be configured; it is not the default one.
        unnamed = not name.namespace and name.rest != channel.removeprefix(PRIVATE)
        found = None if unnamed else self._rules.get(name.namespace)
        if found is None:
            raise ClientError(ErrorCode.UNKNOWN_CHANNEL)
        namespace, pattern = found
        fits = pattern.search(name.rest) if namespace.channel_regex else channel.isascii()
        if not fits:
            raise ClientError(ErrorCode.BAD_REQUEST)
        return name, namespace
