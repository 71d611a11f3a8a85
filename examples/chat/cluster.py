"""What a back end needs of the cluster: the key of the HTTP API, the secret that signs tokens, and the addresses."""

import json
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import jwt

PATIENCE = 12
"""Seconds for an answer of the API: a proxy gives its node ten."""


class ClusterError(Exception):
    """The cluster cannot do what was asked of it; the text is for people."""


class Cluster:
    """A cluster of this machine, known by its state directory.

    Of a deployed one the same four things come from its operator: two secrets, the address of a proxy's admin port, and
    the port that clients connect to.
    """

    def __init__(self, state_dir: Path) -> None:
        """Raises `ClusterError` when there is no cluster."""
        try:
            settings = tomllib.loads((state_dir / "cluster.toml").read_text())["cluster"]
            self._key = (state_dir / "api.key").read_text().strip()
            self.secret = (state_dir / "messaging.secret").read_text().strip()
        except FileNotFoundError as error:
            raise ClusterError(f"there is no cluster in {state_dir}: start one with ./start.sh") from error
        self._api = f"http://127.{settings['network']}.2.1:8081/api"
        self.port: int = settings["port"]

    def token(self, user: str, info: dict[str, Any], seconds: int) -> str:
        """Return a token with which a client connects as `user`; others see `info` beside all it does."""
        return jwt.encode({"sub": user, "info": info, "exp": int(time.time()) + seconds}, self.secret, "HS256")

    def call(self, method: str, **body: Any) -> dict[str, Any]:
        """Call the HTTP API, and return its result. Raises `ClusterError`."""
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        request = Request(f"{self._api}/{method}", json.dumps(body).encode(), headers)  # noqa: S310 - our own address
        try:
            with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                said = json.load(answer)
        except HTTPError as error:
            with error:
                raise ClusterError(f"the cluster's HTTP API refused {method}: status {error.code}") from error
        except (URLError, TimeoutError, ConnectionError) as error:
            raise ClusterError("the cluster does not answer: is it running? ./start.sh starts it") from error
        if "error" in said:
            raise ClusterError(f"the cluster could not {method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result
