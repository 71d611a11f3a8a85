"""The HTTP API for back ends, as commands call it: its key, and the way through a proxy (docs/messaging.md)."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from flux_gateway.cli.cluster import Cluster
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.runtime import admin_client

_PATIENCE = 12.0
"""Seconds for an answer: a proxy gives its node ten."""


def read_key(given: Path | None, cluster: Cluster | None) -> str:
    """Return the key in a file, by default in the cluster's own. Raises `CommandError`."""
    file = given or Path(cluster.api_key_file if cluster is not None else "")
    if file == Path():
        raise CommandError("the server API needs its key: give --api-key-file, or api_key_file in [client]")
    try:
        key = file.read_text("ascii").strip()
    except OSError as error:
        raise CommandError(f"api_key_file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"api_key_file {file}: has bytes that no header can carry") from error
    if not key or not key.isprintable():
        raise CommandError(f"api_key_file {file}: is {'no key: more than a line' if key else 'empty'}")
    return key


def through_a_proxy(cluster: Cluster, method: str, body: bytes, key: str) -> dict[str, Any]:
    """Call a method through a proxy; those that are UP are tried first. Raises as `post` does."""
    proxies = sorted(cluster.proxies(), key=lambda proxy: proxy.state is not NodeState.UP)
    faults = []
    for proxy in proxies:
        host = f"[{proxy.admin_host}]" if ":" in proxy.admin_host else proxy.admin_host
        try:
            return post(urlsplit(f"http://{host}:{proxy.admin_port}"), method, body, key)
        except admin_client.NotReached as error:
            faults.append(f"{proxy.id}: {error}")
    raise CommandError("; ".join(faults) or "no proxy is running; see `flux status`, or give --url of a node")


def post(base: SplitResult, method: str, body: bytes, key: str) -> dict[str, Any]:
    """Call a method at this address. Raises `CommandError` with what the API objected to."""
    tls = base.scheme == "https"
    assert base.hostname is not None
    port, path = base.port or (443 if tls else 80), base.path.rstrip("/") + f"/api/{method}"
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    status, answer = admin_client.request(
        "POST", base.hostname, port, path, timeout=_PATIENCE, headers=headers, body=body, tls=tls
    )
    said = answer if isinstance(answer, dict) else {}
    if status == 401 and not said:
        raise CommandError("the key was not accepted: give the one that api_key_file of the nodes holds")
    if status in (401, 404):  # a path like any other, which wants the cluster's token
        raise CommandError("there is no server API: give the nodes an api_key_file in their section [messaging]")
    error = said.get("error")
    if isinstance(error, dict):
        raise CommandError(f"{method} failed: {error.get('message')} (code {error.get('code')})")
    if status != 200 or not isinstance(said.get("result"), dict):
        raise CommandError(f"{method} failed: {base.hostname}:{port} answered {status}: {error or str(answer)[:300]}")
    return dict(said["result"])
