"""nchan, nginx's module for publishing and subscribing, as the other messaging server: one process, in memory."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError

SUBSCRIBE, PUBLISH = "/subscribe", "/publish"

_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

_CONFIG = """\
load_module {module};
user root;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;

events {{
    worker_connections 15000;
}}

http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    client_header_timeout 1h;

    server {{
        listen {host}:{port} backlog=4096;
        location = {subscribe} {{
            nchan_subscriber websocket;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }}
        location = {publish} {{
            nchan_publisher http;
            nchan_channel_id bench;
        }}
    }}
}}
"""
"""As its documentation begins, less the logs and the limits to how long a publisher's connection may say nothing.
Publications go to who is there, as ours do, and are kept for a while."""


def _binary() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None or not _MODULE.exists():
        raise CommandError("nchan is not installed: install Debian's packages nginx and libnginx-mod-nchan")
    return found


def version() -> str:
    """Return the version of nginx, and of the module as Debian names it. Raises `CommandError` without them."""
    text = subprocess.run([_binary(), "-v"], capture_output=True, text=True, check=True).stderr
    asked = ["dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-nchan"]
    module = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return f"{module.removeprefix('1:').partition('+')[0]} in nginx {text.strip().rpartition('/')[2]}"


def nchan(folder: Path) -> Process:
    """Start nginx with the module."""
    host, port = addresses.NCHAN
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(module=_MODULE, folder=folder, host=host, port=port, subscribe=SUBSCRIBE, publish=PUBLISH)
    )
    argv = [_binary(), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    return Process(argv, addresses.NCHAN, folder / "nchan.log", measured=True)
