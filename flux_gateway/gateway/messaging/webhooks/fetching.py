"""How the node asks others over HTTP, webhooks and key servers: with bounds on time, size and trust."""

import aiohttp

from flux_gateway.core.errors import FluxError

ANSWER_LIMIT = 2**20
"""Bytes of an answer that are read."""
CONNECTIONS = 100
"""Connections kept to all servers together, and at most so many requests under way; the rest waits."""
KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: less than servers keep it (Node 5 s), since a POST that meets one being closed is
lost and must not be repeated."""


class FetchFailed(FluxError):
    """No usable answer came. `outcome` is one word for metrics: timeout, unreachable, status, too-large or garbage."""

    def __init__(self, outcome: str, text: str) -> None:
        self.outcome = outcome
        super().__init__(text)


def session(timeout: float) -> aiohttp.ClientSession:
    """Return a session whose requests last at most `timeout` seconds each, waiting for a connection included.

    Neither cookies nor the environment's proxies are used. It must be closed.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout, connect=timeout),
        trust_env=False,
    )


async def fetch(
    client: aiohttp.ClientSession, method: str, url: str, *, data: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Return the body of a 200. Redirects are not followed: where data goes is configuration, not the server's choice.

    Raises `FetchFailed`. Its text has nothing of the URL, which may hold a password, nor of the answer.
    """
    try:
        async with client.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise FetchFailed("status", f"answered with status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise FetchFailed("too-large", f"answered with more than {ANSWER_LIMIT} bytes")
            return bytes(body)
    except TimeoutError as error:
        raise FetchFailed("timeout", "did not answer in time") from error
    except aiohttp.ClientConnectionError as error:
        raise FetchFailed("unreachable", f"cannot be reached ({type(error).__name__})") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise FetchFailed("garbage", f"did not answer in HTTP ({type(error).__name__})") from error
