"""What a back end wants of clients, wherever they are: done here at once, and told to the other nodes.

An order waits for the command that its client is at, so that it neither meets a subscription half made nor a session
that is just leaving for another node. Nodes remember orders for some seconds, for clients that arrive a little later.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.api.slices import SLICE
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.endpoint import Messaging
from flux_gateway.gateway.messaging.orders.census import Census, NodeState
from flux_gateway.gateway.messaging.orders.ordering import carry_out
from flux_gateway.gateway.messaging.orders.orders import (
    DisconnectOrder,
    Order,
    OrderUnreadable,
    SurveyAnswer,
    SurveyQuestion,
    UnsubscribeOrder,
    decode,
    encode,
)
from flux_gateway.gateway.messaging.orders.recent_orders import RecentOrders, concerns
from flux_gateway.gateway.messaging.orders.surveys import Surveys
from flux_gateway.messaging.codes import ClientError, Disconnect, ErrorCode
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds for the clients of this node to be done with an order before whoever gave it is answered."""

_NODES = msgspec.msgpack.Decoder(NodeState)
_CHANNELS = msgspec.msgpack.Decoder(dict[str, int])


class Control:
    """Orders to clients and questions to nodes: those of this node's back end, and those that other nodes pass on."""

    def __init__(
        self,
        endpoint: Messaging,
        started_at: float,
        others: Mapping[str, Callable[[bytes], None]] = MappingProxyType({}),
    ) -> None:
        """`started_at`: the node's start in unix seconds. `others` take control messages of further kinds."""
        self._others = others
        self._endpoint = endpoint
        self._parts = endpoint.parts
        self._broker = endpoint.parts.broker
        self._node_id = endpoint.parts.node_id
        self._census = Census(endpoint, started_at)
        self._surveys = Surveys(self._broker, self._node_id)
        self._recent = RecentOrders()
        self.room = asyncio.Semaphore(SLICE)
        """For publications of the back end."""
        self._unreadable: set[str] = set()
        """Kinds of control messages that were logged: once is enough."""
        self._broker.on_control = self._take
        endpoint.on_arrival = self._arrived
        endpoint.orders = self._known

    # From this node's back end.

    async def give(self, order: Order) -> None:
        """Apply an order to the clients here, and tell the other nodes.

        Returns when this node has done it, or after a second; the others may be at it still. Raises `ClientError` 107
        for an order to anybody, and `BrokerUnavailable` when the others could not be told: then it was done here only.
        """
        if order.anybody():
            raise ClientError(ErrorCode.BAD_REQUEST)
        done = self._apply(order)
        await self._broker.tell(encode(order))
        if done:
            await asyncio.wait(done, timeout=_PATIENCE)

    async def nodes(self) -> list[NodeState]:
        """Return what every node says of itself. Raises `BrokerUnavailable`."""
        answers = await self._surveys.ask("info")
        others = [state for state in map(self._node_state, answers) if state is not None]
        return sorted([self._census.node(), *others], key=lambda node: node.uid)

    async def channels(self, pattern: str) -> dict[str, int]:
        """Return the clients in each channel of the cluster that fits. Raises `ClientError` and `BrokerUnavailable`."""
        found = self._census.channels(pattern)
        for answer in await self._surveys.ask("channels", pattern):
            try:
                counted = _CHANNELS.decode(answer)
            except msgspec.DecodeError as error:
                self._complain("answer", str(error))
                continue
            for channel, clients in counted.items():
                found[channel] = found.get(channel, 0) + clients
        return found

    def _node_state(self, answer: bytes) -> NodeState | None:
        try:
            return _NODES.decode(answer)
        except msgspec.DecodeError as error:
            self._complain("answer", str(error))
            return None

    # From the other nodes.

    def _take(self, data: bytes) -> None:
        try:
            told = decode(data)
        except OrderUnreadable as error:
            other = self._others.get(error.kind)
            if other is not None:
                other(data)
            else:
                self._complain(error.kind, str(error))
            return
        if told.node == self._node_id:
            return
        if isinstance(told, SurveyAnswer):
            self._surveys.take(told)
        elif isinstance(told, SurveyQuestion):
            self._endpoint.own(self._answer(told), "survey")
        elif told.anybody():
            self._complain("anybody", "an order that names nobody")
        else:
            self._apply(told)

    def _complain(self, kind: str, fault: str) -> None:
        """What kinds there are comes from outside: not more are remembered than anybody would read."""
        if kind not in self._unreadable and len(self._unreadable) < 100:
            self._unreadable.add(kind)
            log.warning("a control message was dropped", extra=fields(kind=kind, fault=fault))

    async def _answer(self, question: SurveyQuestion) -> None:
        try:
            data = self._census.answer(question.what, question.pattern)
        except ClientError as error:
            self._complain("survey", str(error))
            return
        answer = SurveyAnswer(node=self._node_id, id=question.id, data=data)
        try:
            await self._broker.tell(encode(answer), question.node)
        except BrokerUnavailable:
            log.warning("a question cannot be answered without Redis", extra=fields(node=question.node))

    # Carrying out.

    def _apply(self, order: Order) -> list[asyncio.Future[None]]:
        """Begin with an order; return what is done when each client concerned is done with it."""
        self._recent.add(order, self._endpoint.now())
        named = self._endpoint.clients.named(client=order.client, session=order.session, user=order.user)
        found = [client for client in named if client.present and concerns(order, client)]
        if isinstance(order, DisconnectOrder):
            for client in found:
                client.disconnect(Disconnect(order.code, order.reason))
            return []
        if isinstance(order, UnsubscribeOrder):
            # One that is busy may be just about to have a subscription.
            found = [
                client for client in found
                if client.busy or order.channel in client.subscriptions or order.channel in client.resuming
            ]  # fmt: skip
        return [self._begin(order, client) for client in found]

    def _begin(self, order: Order, client: Client) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            client.begin(order.id)
            try:
                await carry_out(self._parts, order, client)
            finally:
                if not done.done():
                    done.set_result(None)

        client.due_orders += (order.id,)
        client.carry(work)
        return done

    def _arrived(self, client: Client) -> None:
        """A client has connected, or has come from another node and may have to be restored."""
        client.carry(lambda: self._catch_up(client))

    async def _catch_up(self, client: Client) -> None:
        """Carry out what was given while the client was on its way. This comes before all other orders here."""
        seen, client.known_orders = frozenset(client.known_orders or ()), None
        if not client.present:
            return
        recent = self._recent.of(client, self._endpoint.now())
        # Those that are due already were given after its arrival.
        missed = [order for order in recent if order.id not in seen and order.id not in client.due_orders]
        client.due_orders += tuple(order.id for order in missed)
        for order in missed:
            client.begin(order.id)
            await carry_out(self._parts, order, client)

    def _known(self, client: Client) -> list[str]:
        return self._recent.known(client, self._endpoint.now())
