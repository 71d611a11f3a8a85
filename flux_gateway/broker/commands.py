"""How the parts of the broker give commands to Redis, whether it is one server or a cluster."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

import hiredis

from flux_gateway.broker.scripts import Script

Argument = str | bytes | int
"""What an argument may be: text goes as UTF-8, numbers as decimals."""


def pack(command: tuple[Argument, ...]) -> bytes:
    """Return a command as Redis reads it."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # it takes any number of arguments
    return packed


class Commands(Protocol):
    """Carries out commands in the order in which they were given, without waiting in between.

    What is returned is under way already, whether it is awaited or not; it raises `BrokerUnavailable`, also when
    Redis refuses. Cancelling it does not take the command back.
    """

    def call(self, name: str, key: str, *arguments: Argument) -> Awaitable[Any]:
        """Give a command that has one key."""

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Awaitable[Any]:
        """Run a script, whose keys are all in one slot."""
