"""Prints docs/configuration.md, made from the settings classes: `python scripts/configuration_page.py`."""

from typing import Any

import msgspec

from flux_gateway.cli.client_settings import ClientSettings
from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.keeper.settings import KeeperSettings
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.registry.connect import RedisSettings
from flux_gateway.runtime.config import default_of, describe
from flux_gateway.supervisor.settings import ClusterSettings

MESSAGING = """What nodes do for clients that speak the Centrifuge protocol: part of `flux gateway`, the same on every
node of a cluster. As flags: `--messaging-insecure`, ..."""

NAMESPACES = """The rules of channels without a namespace. A table `[messaging.namespaces.chat]`, with the same
settings, is about the channels `chat:...`. In the environment and as flags both are JSON, which replaces the file's
tables: `--messaging-default '{"presence": true}'`, `FLUX_MESSAGING_NAMESPACES='{"chat": {"presence": true}}'`."""

SECTIONS: tuple[tuple[str, type[msgspec.Struct], str], ...] = (
    ("gateway", GatewaySettings, "A node: `flux gateway`."),
    ("messaging", MessagingSettings, MESSAGING),
    ("messaging.default", Namespace, NAMESPACES),
    ("proxy", ProxySettings, "A proxy: `flux proxy`."),
    ("keeper", KeeperSettings, "What holds a proxy's connections while the proxy restarts: `flux keeper`."),
    ("dashboard", DashboardSettings, "The dashboard: `flux dashboard`."),
    ("redis", RedisSettings, "How every daemon reaches the registry. As flags: `--redis-host`, ..."),
    ("cluster", ClusterSettings, "A whole cluster on one machine: `flux up`."),
    ("client", ClientSettings, "The command line on a host of a deployed cluster: `/etc/flux/flux.toml`."),
)

HEAD = """# Configuration

<!-- Made by scripts/configuration_page.py from the settings classes; a test compares. -->

Every daemon takes its settings from, in this order, later ones winning: built-in defaults, the TOML file given with
`--config` (one table per section), environment variables `FLUX_<SECTION>_<NAME>`, flags `--<name>`. Lists are
comma-separated in environment and flags. Settings do not change while a daemon runs. Whatever is wrong is reported
all at once, with exit status 2. Sizes are bytes, times seconds.

On one machine `flux up` writes these files itself, below `.flux/config/`; on VMs the roles do, in `/etc/flux/`
([deploy.md](deploy.md)). `flux gateway --check --config FILE` (also `proxy`, `keeper`, `dashboard`) only reads the
settings and says whether they are good.
"""


def shown(value: Any) -> str:
    """Return a default as it would be typed."""
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, msgspec.Struct):
        return "see below"
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value) if value not in ("", {}) else "none"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for section, cls, text in SECTIONS:
        parts.append(f"\n## [{section}]\n\n{text}\n\n| setting | default | meaning |\n|---|---|---|\n")
        for field, _, description in describe(cls):
            default = "required" if field.required else shown(default_of(field))
            parts.append(f"| `{field.name}` | {default} | {description} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
