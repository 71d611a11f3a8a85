"""The clients of a node, and which of them an order means that names a client, a session or a user."""

from collections.abc import Iterator

from flux_gateway.gateway.messaging.client import Client

_Index = dict[str, Client | dict[Client, None]]
"""A name mostly has one client: only those of several cost a dictionary of their own."""


class Clients:
    """All of them, and by name those that have connected."""

    def __init__(self) -> None:
        self._all: dict[Client, None] = {}
        self._by_id: _Index = {}
        self._by_session: _Index = {}
        self._by_user: _Index = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._all)

    def add(self, client: Client) -> None:
        """A client is here; it may have connected elsewhere already."""
        self._all[client] = None
        if client.present:
            self.know(client)

    def know(self, client: Client) -> None:
        """A client of this node has connected: its names do not change any more. Twice is as good as once."""
        for index, name in self._names(client):
            there = index.get(name)
            if there is None:
                index[name] = client
            elif isinstance(there, dict):
                there[client] = None
            else:
                index[name] = {there: None, client: None}

    def discard(self, client: Client) -> None:
        """A client is not here any more."""
        self._all.pop(client, None)
        for index, name in self._names(client):
            there = index.get(name)
            if isinstance(there, dict):
                there.pop(client, None)
                if not there:
                    del index[name]
            elif there is client:
                del index[name]

    def named(self, *, client: str, session: str, user: str) -> list[Client]:
        """Return those that have the most particular name of these. Whether the others fit is not looked at."""
        index, name = next(
            ((index, name) for index, name in (
                (self._by_id, client), (self._by_session, session), (self._by_user, user),
            ) if name),
            (self._by_user, ""),
        )  # fmt: skip
        there = index.get(name, {})
        return list(there) if isinstance(there, dict) else [there]

    def _names(self, client: Client) -> list[tuple[_Index, str]]:
        names = ((self._by_id, client.id), (self._by_session, client.session_id), (self._by_user, client.user))
        return [(index, name) for index, name in names if name]
