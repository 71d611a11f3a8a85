"""The names of everything that messaging keeps in Redis.

What belongs to one channel has the channel's name as hash tag, so that in a Redis Cluster it is in one slot.
"""

from hashlib import blake2b

CONTROL = "gateway:control"
"""Pub/sub channel that every node hears."""

_BRACE = "}"
"""A name that begins with it would leave an empty hash tag, which Redis passes over: all of these share one tag."""


def channel(name: str) -> str:
    """Pub/sub channel of a channel; its keys begin with it."""
    if name.startswith(_BRACE):
        return f"gateway:brace:{{brace}}{name}"
    return f"gateway:channel:{{{name}}}"


def stream(name: str) -> str:
    """STREAM: the last publications. Entry id `<offset>-0`, field `p` as `broker.wire` writes it."""
    return f"{channel(name)}:stream"


def meta(name: str) -> str:
    """HASH: `e` epoch, `o` top offset, `v` and `ve` the last version and its epoch. Outlives the stream's entries."""
    return f"{channel(name)}:meta"


def presence(name: str) -> str:
    """HASH: client id -> who it is, as `broker.wire` writes it."""
    return f"{channel(name)}:presence"


def expiry(name: str) -> str:
    """ZSET: client id -> unix seconds after which it is not present any more, by the clock of Redis."""
    return f"{channel(name)}:expiry"


def idempotency(name: str, key: str) -> str:
    """STRING with a time to live: `<offset>:<epoch>` of the publication that came with this idempotency key.

    The key is whatever an application made up, so that it is hashed: it may be long, or look like another name.
    """
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{channel(name)}:idem:{digest}"


def session(session_id: str) -> str:
    """HASH: `f` fence, `r` session record. Without `r` the session is over, and `f` keeps stragglers out."""
    return f"gateway:session:{session_id}"


def user(user_id: str) -> str:
    """ZSET: client id -> unix seconds after which the connection does not count any more, by the clock of Redis."""
    return f"gateway:user:{user_id}"


def control(node_id: str) -> str:
    """Pub/sub channel that one node hears; all nodes for an empty id."""
    return f"{CONTROL}:{node_id}" if node_id else CONTROL
