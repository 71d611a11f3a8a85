"""Whether a program is ready: `/readyz` of a daemon, a PING for Redis, a count for a keeper."""

import asyncio

from flux_gateway.keeper.link import count
from flux_gateway.supervisor.topology import Program

_PATIENCE = 1.0


async def ready(program: Program, redis_password: str) -> bool:
    """Ask the program. False when it does not answer, or says that it is not ready."""
    try:
        async with asyncio.timeout(_PATIENCE):
            if program.socket:
                await count(program.socket)
                return True
            if program.admin is None:
                host, port = program.listens[0]
                answer = await _exchange(host, port, f"AUTH {redis_password}\r\nPING\r\n".encode(), b"+PONG")
                return b"+PONG" in answer
            host, port = program.admin
            head = f"GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            answer = await _exchange(host, port, head.encode(), b"\r\n")
            return answer.startswith(b"HTTP/1.1 200")
    except (OSError, TimeoutError):
        return False


async def _exchange(host: str, port: int, question: bytes, until: bytes) -> bytes:
    """Send the question and read until the mark, an error line of Redis, or the end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        answer = b""
        while until not in answer and not answer.startswith(b"-"):
            data = await reader.read(4096)
            if not data:
                break
            answer += data
        return answer
    finally:
        writer.close()
