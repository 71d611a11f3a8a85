"""Patterns that channels are chosen by: `*` for anything, `?`, `[abc]`, `[!abc]`, and `{this,that}`."""

import re
from collections.abc import Callable
from fnmatch import translate

from flux_gateway.messaging.codes import ClientError, ErrorCode

_LONGEST = 512
"""Characters of a pattern."""

_MOST = 64
"""What alternatives in braces may multiply to."""

_BRACES = re.compile(r"\{([^{}]*)\}")


def compiled(pattern: str) -> Callable[[str], object]:
    """Return what is true for a channel that fits. Raises `ClientError` 107 for a pattern that is too much.

    Translated patterns never go back over a `*`, so none takes long.
    """
    if not pattern:
        return lambda channel: True
    if len(pattern) > _LONGEST:
        raise ClientError(ErrorCode.BAD_REQUEST, "the pattern is too long")
    ready, left = [], [pattern]
    while left:
        one = left.pop()
        braces = _BRACES.search(one)
        if braces is None:
            ready.append(re.compile(translate(one)).match)
        else:
            before, after = one[: braces.start()], one[braces.end() :]
            left += [before + part + after for part in braces[1].split(",")]
        if len(ready) + len(left) > _MOST:
            raise ClientError(ErrorCode.BAD_REQUEST, "the pattern has too many alternatives")
    return lambda channel: any(match(channel) for match in ready)
