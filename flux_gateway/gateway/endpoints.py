"""What a session can talk to, by the path of its handshake (design, section 9)."""

import msgspec

from flux_gateway.core.frames import TEXT, Buffer
from flux_gateway.core.session import Endpoint, Session


def echo(session: Session, opcode: int, payload: Buffer) -> bytes:
    """Answer a message with itself: text as text, binary as binary."""
    return session.frame(opcode, payload)


def whoami(node_id: str) -> Endpoint:
    """Return the endpoint that answers any message with who serves this session."""

    def answer(session: Session, opcode: int, payload: Buffer) -> bytes:
        facts = {
            "node": node_id,
            "session": session.id,
            "moves": session.moves,
            "connected_at": session.connected_at,
        }
        return session.frame(TEXT, msgspec.json.encode(facts))

    return answer


def endpoints(node_id: str) -> dict[str, Endpoint]:
    """Return every path a node serves."""
    return {"/echo": echo, "/whoami": whoami(node_id)}
