"""The proxy's connections in its keeper: deposited, withdrawn, handed over, taken back (design, section 8)."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from flux_gateway.keeper.client import Keeper, Kept
from flux_gateway.proxy import kept, relay_needs
from flux_gateway.proxy.counters import ProxyCounters
from flux_gateway.proxy.kept import State
from flux_gateway.proxy.nodes import Node, node_of
from flux_gateway.proxy.opening import origin
from flux_gateway.proxy.relay import Relay
from flux_gateway.runtime import tcp
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_TAKING = 5.0
"""Seconds for the keeper to give back what it has."""

_HANDING = 5.0
"""Seconds for the keeper to confirm what was handed over."""


NodeOf = Callable[[str, tuple[str, int] | None], Node | None]
"""Finds a node by id, or by the address of a connection to it, if that still has one; None if it is unknown."""


class Owner(relay_needs.Owner[Relay], Protocol):
    """What keeping needs of the switchboard."""

    counters: ProxyCounters

    def relays(self) -> list[Relay]:
        """Return every relayed connection."""

    def take_over(self, relay: Relay, node: Node) -> None:
        """A connection goes on in this process."""


class Keeping:
    """Keeps what is worth keeping: sessions, once a node has answered."""

    def __init__(self, board: Owner, path: str) -> None:
        self._board = board
        self.keeper = Keeper(path, self._deposit_all)

    def deposit(self, relay: Relay, node: Node) -> None:
        """Have a session kept, as it stands now."""
        if relay.up is None:
            return  # plain HTTP: the answer will have been read before anybody could take over
        try:
            meta = kept.meta_of(relay, node.id)
        except OSError:
            return  # one side has just closed; the poller is about to say so
        self.keeper.deposit(relay.session_id, kept.encode(meta), relay.client, relay.backend)

    def withdraw(self, relay: Relay) -> None:
        """The session is over: the keeper must let go of its sockets."""
        self.keeper.withdraw(relay.session_id)

    def _deposit_all(self) -> None:
        """The keeper is a new process and has nothing."""
        count = 0
        for relay in self._board.relays():
            if not relay.cut:
                self.deposit(relay, node_of(relay))
                count += 1
        log.info("deposited again", extra=fields(connections=count))

    # Leaving.

    async def hand_over(self, relays: Iterable[Relay]) -> bool:
        """Leave these connections, which nobody touches any more, to the next process. Returns whether it worked."""
        for relay in relays:
            state = State(
                up=kept.position(relay.up),
                down=kept.position(relay.down),
                to_client=relay.to_client,
                to_backend=relay.to_backend,
                client_eof=relay.client_eof,
            )
            self.keeper.hand_over(relay.session_id, kept.encode(state))
        return await self.keeper.flush(_HANDING)

    # Coming.

    async def take_over(self, node_of: NodeOf) -> None:
        """Go on with what the process before has left."""
        found = await self.keeper.take(_TAKING)
        for number, item in enumerate(found):
            try:
                self._go_on(item, node_of)
            except msgspec.DecodeError as error:
                log.warning("left by another version", extra=fields(session=item.key, error=error))
                self._give_up(item, "unreadable")
            if number % 256 == 255:
                await asyncio.sleep(0)  # the links answer meanwhile
        if found:
            counters = self._board.counters
            log.info(
                "connections taken over",
                extra=fields(connections=counters.taken_over, given_up=sum(counters.given_up.values())),
            )

    def _go_on(self, item: Kept, node_of: NodeOf) -> None:
        meta = kept.decode_meta(item.meta)
        node = node_of(meta.node, _address(item.backend))
        if node is None:
            self._give_up(item, "closed meanwhile")
            return
        relay = Relay(
            self._board, node, item.key, item.client, meta.client_ip, item.backend,
            meta.slot, origin(meta.path, meta.extensions), meta.opened_at,
        )  # fmt: skip
        relay.fence, relay.moves = meta.fence, meta.moves
        if item.blob:
            state = kept.decode_state(item.blob)
            relay.restore(
                kept.tracker(state.up), kept.tracker(state.down), state.to_client, state.to_backend, state.client_eof
            )
        else:
            doubt = kept.doubt(relay, meta)
            if doubt:
                self._give_up(item, doubt)
                return
            relay.restore(kept.tracker(None), kept.tracker(None), b"", b"", False)
        self._board.take_over(relay, node)
        self._board.counters.taken_over += 1

    def _give_up(self, item: Kept, cause: str) -> None:
        self._board.counters.given_up[cause] += 1
        self.keeper.withdraw(item.key)
        tcp.end(item.client)
        tcp.end(item.backend)


def _address(backend: socket.socket) -> tuple[str, int] | None:
    """Return where a backend connection leads; None if it was reset meanwhile."""
    try:
        host, port = backend.getpeername()[:2]
    except OSError:
        return None
    return host, port
