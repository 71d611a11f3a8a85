"""The commands that a back end answers: `rpc`; and `send`, which nothing here takes."""

from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.gateway.messaging.webhooks.webhooks import Caller
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, ErrorCode
from flux_gateway.messaging.commands import Command, RpcRequest, SendRequest
from flux_gateway.messaging.results import RpcResult


async def rpc(parts: Parts, client: Client, command: Command, request: RpcRequest) -> None:
    """Carry out `rpc` by its webhook. Without one it is not available."""
    if not parts.webhooks.asks("rpc"):
        raise ClientError(ErrorCode.NOT_AVAILABLE)
    answer = await parts.webhooks.rpc(Caller.of(client), request.method, request.data)
    client.reply(command, RpcResult(data=answer.data))


async def send(parts: Parts, client: Client, command: Command, request: SendRequest) -> None:
    """Refuse a message that nobody here takes (facts, section 4)."""
    raise Disconnect(CloseCode.NOT_AVAILABLE)
