"""A client for tests of channels, and what it hears."""

from flux_gateway.broker.events import Event, Kind
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.encodings import WEBSOCKET_JSON, Encoding
from flux_gateway.messaging.codes import Disconnect
from flux_gateway.messaging.publication import Publication


class Listener:
    """A client, and its connection, that keeps what it is sent."""

    def __init__(self, encoding: Encoding = WEBSOCKET_JSON) -> None:
        self.encoding = encoding
        self.connection = self
        self.heard: list[bytes] = []
        self.missed = 0
        self.ended: Disconnect | None = None

    def send(self, data: bytes) -> None:
        self.heard.append(data)

    def insufficient(self, subscription: Subscription) -> None:
        self.missed += 1

    def disconnect(self, error: Disconnect) -> None:
        self.ended = error

    def data(self) -> list[str]:
        """The payloads, which tests make single capital letters in quotes."""
        return [chr(data[at + 1]) for data in self.heard for at in range(len(data)) if data[at : at + 1] == b"'"]


def event(offset: int, letter: str, epoch: str = "e") -> Event:
    return Event(Kind.PUBLICATION, offset, epoch, publication(offset, letter))


def publication(offset: int, letter: str) -> Publication:
    return Publication(data=f'"\'{letter}"'.encode(), offset=offset)
