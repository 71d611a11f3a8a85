"""Who is in a channel, and how many connections a user has. Whoever does not say that it is still there is not."""

import logging
from collections.abc import Awaitable, Iterator
from typing import Any

from flux_gateway.broker import keys, scripts, wire
from flux_gateway.broker.commands import Commands
from flux_gateway.messaging.publication import ClientInfo

log = logging.getLogger(__name__)


class Presence:
    """The part of the broker that knows who is present. Every method raises `BrokerUnavailable`. Times in seconds."""

    _commands: Commands

    def add_presence(self, channel: str, info: ClientInfo, ttl: float) -> Awaitable[Any]:
        """Say that a client is in a channel for the next `ttl` seconds.

        It is under way at once, as its removal is: who leaves after this call is not brought back by it.
        """
        return self._commands.run(
            scripts.ADD_PRESENCE, _keys(channel), (info.client, wire.encode_info(info), round(ttl * 1000))
        )

    def remove_presence(self, channel: str, client: str) -> Awaitable[Any]:
        """Say that a client has left, at once. Nothing happens if it was not there."""
        return self._commands.run(scripts.REMOVE_PRESENCE, _keys(channel), (client,))

    async def presence(self, channel: str) -> dict[str, ClientInfo]:
        """Return who is in a channel, by client id."""
        reply = iter(await self._commands.run(scripts.PRESENCE, _keys(channel), ()))
        return dict(_clients(reply))

    async def presence_stats(self, channel: str) -> tuple[int, int]:
        """Return how many clients are in a channel, and how many users they are; all anonymous ones count as one."""
        clients, users = await self._commands.run(scripts.PRESENCE_STATS, _keys(channel), ())
        return int(clients), int(users)

    async def claim_connection(self, user: str, client: str, limit: int, ttl: float) -> bool:
        """Count a client among its user's connections for `ttl` seconds, unless there are `limit` others (0: no limit).

        Returns whether it is counted.
        """
        return bool(await self._claim(user, client, limit, ttl))

    def _claim(self, user: str, client: str, limit: int, ttl: float) -> Awaitable[Any]:
        return self._commands.run(scripts.CLAIM_CONNECTION, [keys.user(user)], (client, limit, round(ttl * 1000)))

    async def release_connection(self, user: str, client: str) -> None:
        """Count the client no longer."""
        await self._commands.call("ZREM", keys.user(user), client)


def _keys(channel: str) -> list[str]:
    return [keys.presence(channel), keys.expiry(channel)]


def _clients(reply: Iterator[bytes]) -> Iterator[tuple[str, ClientInfo]]:
    for client, info in zip(reply, reply, strict=True):
        try:
            yield client.decode(), wire.decode_info(info)
        except ValueError:
            log.exception("an entry of presence cannot be read")
