"""The state directory of a cluster on one machine: what lies where, and secrets that only the owner can read."""

import os
import secrets
from pathlib import Path

from flux_gateway.core.errors import CommandError

_LONGEST_SOCKET_PATH = 100
"""Linux allows 108 bytes for the path of a unix socket."""


class StateDir:
    """Paths below the state directory. Nothing is created before `create`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.config = self.path / "cluster.toml"
        self.configs = self.path / "config"
        self.logs = self.path / "logs"
        self.redis = self.path / "redis"
        self.keepers = self.path / "keeper"
        self.token = self.path / "token"
        self.redis_password = self.path / "redis-password"
        self.messaging = self.path / "messaging.toml"
        """What `flux up --messaging` was given; not there without."""
        self.messaging_secret = self.path / "messaging.secret"
        """Signs the tokens of clients."""
        self.api_key = self.path / "api.key"
        self.processes = self.path / "processes.json"
        self.socket = self.path / "supervisor.sock"
        if len(str(self.socket)) > _LONGEST_SOCKET_PATH:
            raise CommandError(f"the state directory's path is too long: {self.path}; choose another --state-dir")

    def create(self) -> None:
        """Make the directories and the secrets that do not exist yet."""
        try:
            for directory in (self.path, self.configs, self.logs, self.redis, self.keepers):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"cannot create the state directory {self.path}: {error.strerror}") from error
        for file in (self.token, self.redis_password, self.messaging_secret, self.api_key):
            if not file.exists():
                self.write_private(file, secrets.token_urlsafe(32) + "\n")

    @staticmethod
    def write_private(file: Path, text: str) -> None:
        """Write a file that only the owner can read, whole or not at all."""
        fresh = file.with_suffix(file.suffix + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        fresh.rename(file)

    def keeper(self, number: int) -> Path:
        """Return the socket of a proxy's keeper; its path is shorter than that of the supervisor's."""
        return self.keepers / f"{number}.sock"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"
