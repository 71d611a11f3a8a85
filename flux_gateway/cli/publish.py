"""`flux publish`: publish into a channel through the server API."""

import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import click
import msgspec

from flux_gateway.cli import server_api
from flux_gateway.cli.selection import cluster_of


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
    key = server_api.read_key(api_key_file, cluster)
    result = (
        server_api.post(_base(url), "publish", body, key)
        if url
        else server_api.through_a_proxy(cluster or cluster_of(ctx), "publish", body, key)
    )
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


def _base(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        well = False
    if not well or parts.query or parts.fragment or parts.username:
        raise click.BadParameter(f"{url}: it looks like http://10.0.0.14:8081", param_hint="--url")
    return parts
