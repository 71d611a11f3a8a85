"""A program of ours without one part of its hot path, to see what that part costs.

    python -m benchmarks.peers.stripped residue gateway --id gateway-1 ...

What is left is the same source, less the statements that speak of the part. It relays and echoes; it is good for
nothing else: sessions do not move.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flux_gateway.cli.main import main
from flux_gateway.core.errors import CommandError
from flux_gateway.core.session import Session
from flux_gateway.proxy.relay import Relay

F = TypeVar("F", bound=Callable[..., Any])


def without(function: F, name: str) -> F:
    """Return a function less the statements at its top level that mention a local variable.

    Raises `CommandError` when there are none: the source has changed.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    kept = [statement for statement in definition.body if not _mentions(statement, name)]
    if len(kept) == len(definition.body):
        raise CommandError(f"{function.__qualname__} says nothing of {name!r} any more: adapt {__name__}")
    definition.body = kept
    made: dict[str, Any] = {}
    exec(compile(tree, f"<{function.__qualname__} without {name}>", "exec"), function.__globals__, made)
    return cast(F, made[function.__name__])


def _mentions(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(statement))


def strip(part: str) -> None:
    """Take a part out of this process."""
    if part == "residue":
        Session.receive = without(Session.receive, "residue")  # type: ignore[method-assign]
    elif part == "tracking":
        Relay.on_client = without(Relay.on_client, "tracker")  # type: ignore[method-assign]
        Relay.on_backend = without(Relay.on_backend, "tracker")  # type: ignore[method-assign]
        # It does not see close frames any more, and would take every end of a session for the loss of its node.
        Relay._backend_ended = lambda self: self._finish("closed")  # type: ignore[method-assign]
    else:
        raise CommandError(f"there is no part {part!r}")


if __name__ == "__main__":
    strip(sys.argv.pop(1))
    main()
