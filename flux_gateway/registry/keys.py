"""The names of everything the cluster keeps in Redis (design, section 4)."""

NODES = "gateway:nodes"
"""HASH: node id -> NodeRecord as JSON."""

PROXIES = "gateway:proxies"
"""HASH: proxy id -> ProxyRecord as JSON."""

EVENTS = "gateway:events"
"""Pub/sub channel: every Event as JSON, at once."""

TIMELINE = "gateway:timeline"
"""STREAM: the last events, field `event` = Event as JSON. Outlives every process."""

TIMELINE_LENGTH = 1000

HISTORY_SECONDS = 900
"""How far back the samples of a node reach."""


KEPT_SECONDS = 24 * 3600
"""How long a stopped or dead member stays visible."""


def heartbeat(member_id: str) -> str:
    """STRING with a time to live: present as long as the node or proxy is alive."""
    return f"gateway:heartbeat:{member_id}"


def history(node_id: str) -> str:
    """STREAM: a node's record at each heartbeat of the last 15 minutes, field `record` = NodeRecord as JSON."""
    return f"gateway:history:{node_id}"
