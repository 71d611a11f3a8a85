"""Questions to every node of the cluster."""

import asyncio
import logging
import secrets
from contextlib import suppress

from flux_gateway.broker.broker import Broker
from flux_gateway.gateway.messaging.orders.orders import SurveyAnswer, SurveyQuestion, encode
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds the other nodes have."""


class _Pending:
    __slots__ = ("answers", "expected", "whole")

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.expected: int | None = None
        self.whole = asyncio.Event()

    def judge(self) -> None:
        if self.expected is not None and len(self.answers) >= self.expected:
            self.whole.set()


class Surveys:
    """Asks, and collects what comes."""

    def __init__(self, broker: Broker, node_id: str) -> None:
        self._broker, self._node_id = broker, node_id
        self._pending: dict[str, _Pending] = {}

    async def ask(self, what: str, pattern: str = "") -> list[bytes]:
        """Return the answers of the other nodes: of all that hear the question, or of those that are quick enough.

        Raises `BrokerUnavailable`.
        """
        question = SurveyQuestion(node=self._node_id, id=secrets.token_hex(8), what=what, pattern=pattern)
        pending = self._pending[question.id] = _Pending()
        try:
            # This node hears it, too, and does not answer itself.
            pending.expected = await self._broker.tell(encode(question)) - 1
            pending.judge()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await pending.whole.wait()
        finally:
            del self._pending[question.id]
        if not pending.whole.is_set():
            missing = pending.expected - len(pending.answers)
            log.warning("nodes did not answer a question", extra=fields(what=what, missing=missing))
        return [answer for answer in pending.answers.values() if answer]

    def take(self, answer: SurveyAnswer) -> None:
        """A node has answered. What comes too late is passed over."""
        pending = self._pending.get(answer.id)
        if pending is not None:
            pending.answers[answer.node] = answer.data
            pending.judge()
