"""How long a channel's publications are kept: as its namespace says, or in the short window that only nodes read."""

from typing import NamedTuple

from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.namespaces import Namespace

_WINDOW_META = 3600.0
"""Seconds for which the position of a channel without history is remembered after its last publication."""


class Retention(NamedTuple):
    """`size` publications at most, for `ttl` seconds; the position for `meta_ttl` seconds."""

    size: int
    ttl: float
    meta_ttl: float


def retention(rules: Namespace, settings: MessagingSettings) -> Retention:
    """Return what holds for the channels of a namespace."""
    if rules.recoverable:
        return Retention(rules.history_size, rules.history_ttl, rules.history_meta_ttl)
    return Retention(settings.move_window_size, settings.move_window, _WINDOW_META)
