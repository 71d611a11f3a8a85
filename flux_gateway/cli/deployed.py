"""A cluster that Ansible has deployed: found through `/etc/flux/flux.toml`, which every host of it has."""

from pathlib import Path
from typing import Any

from flux_gateway.cli.client_settings import ClientSettings
from flux_gateway.cli.cluster import Cluster
from flux_gateway.core.errors import CommandError, ConfigError
from flux_gateway.registry.connect import RedisSettings
from flux_gateway.runtime import config

FILE = Path("/etc/flux/flux.toml")


class DeployedCluster(Cluster):
    """What the file says of the cluster. Raises `CommandError` if this user may not read it, `ConfigError` with
    every fault of both sections.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._check_readable(file)
        faults: list[str] = []
        loaded: list[Any] = []
        for kind, section in ((ClientSettings, "client"), (RedisSettings, "redis")):
            try:
                loaded.append(config.load(kind, section, file=file))
            except ConfigError as error:
                faults += [fault for fault in error.faults if fault not in faults]
        if faults:
            raise ConfigError(faults)
        client: ClientSettings = loaded[0]
        self.redis = loaded[1]
        self.url = client.url.rstrip("/")
        self.dashboard_url = client.dashboard_url
        self.title = f"deployed cluster, {self.url}, found in {file}"
        self.token_file = client.token_file
        self._api_key_file = client.api_key_file
        if self.redis.password_file:
            self._check_readable(Path(self.redis.password_file))

    @property
    def api_key_file(self) -> str:
        """What `[client]` names. Raises `CommandError` if this user may not read it."""
        if self._api_key_file:
            self._check_readable(Path(self._api_key_file))
        return self._api_key_file

    def post(self, member_id: str, path: str) -> Any:
        """POST to the admin HTTP of a node or proxy, with the cluster's token."""
        if not self.token_file:
            raise CommandError(f"{self.file} names no token_file in [client]: without the token nothing can be changed")
        self._check_readable(Path(self.token_file))
        return super().post(member_id, path)

    @staticmethod
    def _check_readable(file: Path) -> None:
        """Say what to do when this user may not read a file. Other reasons are told by whoever reads it."""
        try:
            file.open("rb").close()
        except PermissionError as error:
            raise CommandError(
                f"{file} cannot be read: add yourself to the group flux (sudo usermod -aG flux $USER, then log in "
                "again), or use sudo"
            ) from error
        except OSError:
            pass


def unit_of(process: str) -> str:
    """Return the systemd unit of a process as it is called elsewhere: gateway-1, proxy-1, dashboard, redis."""
    for kind in ("proxy", "keeper"):
        if process.startswith(kind):
            return f"flux-{kind}"
    return {"dashboard": "flux-dashboard", "redis": "redis-server"}.get(process, f"flux-gateway@{process}")
