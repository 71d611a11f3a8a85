"""`flux publish`: publish into a channel through the server API."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click
import msgspec

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.selection import cluster_of
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.runtime import admin_client

_PATIENCE = 12.0
"""Seconds for an answer: a proxy gives its node ten."""


@click.command("publish")
@click.argument("channel")
@click.argument("data", metavar="JSON")
@click.option("--api-key-file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="file with the key of the server API [default: the cluster's own]")  # fmt: skip
@click.option("--url", metavar="URL", help="where the API is, without /api [default: a proxy's admin port]")
@click.option("--json", "as_json", is_flag=True, help="print JSON: offset and epoch, if the channel has a history")
@click.pass_context
def command(
    ctx: click.Context, channel: str, data: str, api_key_file: Path | None, url: str | None, as_json: bool
) -> None:
    """Publish JSON into CHANNEL, as a server would: every subscriber gets it. A JSON of `-` is read from the input.

    On a deployed cluster give --api-key-file, unless [client] of its file names one.

    \b
    Example:
      flux publish chat:lobby '{"text": "hello"}'
      date +'"%T"' | flux publish clock -
      flux publish chat:lobby 1 --url http://10.0.0.14:8081 --api-key-file api.key
    """
    body = msgspec.json.encode({"channel": channel, "data": _payload(data)})
    cluster = None if url and api_key_file else cluster_of(ctx)
    key = _key(api_key_file, cluster)
    result = _post(_base(url), body, key) if url else _through_a_proxy(cluster or cluster_of(ctx), body, key)
    if as_json:
        click.echo(msgspec.json.encode(result).decode())
    elif "offset" in result:
        click.echo(f"published into {channel}: offset {result['offset']}, epoch {result.get('epoch', '')}")
    else:
        click.echo(f"published into {channel}")


def _payload(text: str) -> msgspec.Raw:
    """Return the JSON as it was given. Raises `BadParameter`."""
    given = sys.stdin.read() if text == "-" else text
    try:
        msgspec.json.decode(given)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise click.BadParameter(
            f"not JSON: {str(error).removesuffix('.')}; a text needs quotes of its own, for example '\"hello\"'",
            param_hint="JSON",
        ) from error
    return msgspec.Raw(given.strip().encode())


def _key(given: Path | None, cluster: Cluster | None) -> str:
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


def _base(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        well = False
    if not well or parts.query or parts.fragment or parts.username:
        raise click.BadParameter(f"{url}: it looks like http://10.0.0.14:8081", param_hint="--url")
    return parts


def _through_a_proxy(cluster: Cluster, body: bytes, key: str) -> dict[str, Any]:
    """Ask the proxies, those that are UP first, until one can be reached."""
    proxies = sorted(cluster.proxies(), key=lambda proxy: proxy.state is not NodeState.UP)
    faults = []
    for proxy in proxies:
        host = f"[{proxy.admin_host}]" if ":" in proxy.admin_host else proxy.admin_host
        try:
            return _post(urlsplit(f"http://{host}:{proxy.admin_port}"), body, key)
        except admin_client.NotReached as error:
            faults.append(f"{proxy.id}: {error}")
    raise CommandError("; ".join(faults) or "no proxy is running; see `flux status`, or give --url of a node")


def _post(base: SplitResult, body: bytes, key: str) -> dict[str, Any]:
    """Publish. Raises `CommandError` with what the API objected to."""
    tls = base.scheme == "https"
    assert base.hostname is not None
    port, path = base.port or (443 if tls else 80), base.path.rstrip("/") + "/api/publish"
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
        raise CommandError(f"not published: {error.get('message')} (code {error.get('code')})")
    if status != 200 or not isinstance(said.get("result"), dict):
        raise CommandError(f"not published: {base.hostname}:{port} answered {status}: {error or str(answer)[:300]}")
    return dict(said["result"])
