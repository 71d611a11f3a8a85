"""The hosts' network: a bridge, a network namespace per host, and the way out to Debian's mirror."""

from pathlib import Path

from tests.hosts.shell import run

BRIDGE = "flux-br0"
GATEWAY = "10.42.0.1"
NETWORK = "10.42.0.0/24"

_MARK = "flux-hosts"
_NAT = ("POSTROUTING", "-s", NETWORK, "!", "-d", NETWORK, "-j", "MASQUERADE", "-m", "comment", "--comment", _MARK)
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def open_bridge() -> None:
    """Make the bridge unless it is there, and let the hosts reach what this machine reaches."""
    if not Path(f"/sys/class/net/{BRIDGE}").exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
    _FORWARD.write_text("1")
    if not _has_nat():
        run("iptables", "-w", "-t", "nat", "-A", *_NAT)


def _has_nat() -> bool:
    return _MARK in run("iptables", "-w", "-t", "nat", "-S", "POSTROUTING")


def close_bridge() -> None:
    """Take away what `open_bridge` made; the last host has gone. Forwarding stays: somebody else may use it by now."""
    if _has_nat():
        run("iptables", "-w", "-t", "nat", "-D", *_NAT)
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        run("ip", "link", "delete", BRIDGE)


def namespace(name: str) -> Path:
    """Return where the network namespace of a host lies."""
    return Path(f"/run/netns/flux-{name}")


def attach(name: str, address: str) -> None:
    """Make a host's network namespace, with the address on the interface `host0`."""
    space, outside = f"flux-{name}", _outside(address)
    run("ip", "netns", "add", space)
    run("ip", "link", "add", outside, "type", "veth", "peer", "name", "host0", "netns", space)
    run("ip", "link", "set", outside, "master", BRIDGE, "up")
    for command in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{address}/24", "dev", "host0"),
        ("link", "set", "host0", "up"),
        ("route", "add", "default", "via", GATEWAY),
    ):
        run("ip", "-n", space, *command)


def _outside(address: str) -> str:
    """The interface on the bridge; names hold 15 characters."""
    return f"fx-{address.rsplit('.', 1)[1]}"


def detach(name: str, address: str) -> None:
    """Remove a host's interfaces and its network namespace."""
    # By name: the kernel takes down a namespace, and what is in it, in its own time.
    if Path(f"/sys/class/net/{_outside(address)}").exists():
        run("ip", "link", "delete", _outside(address))
    if namespace(name).exists():
        run("ip", "netns", "delete", f"flux-{name}")
