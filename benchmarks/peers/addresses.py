"""Loopback addresses of the benchmark: a network of its own, so that it disturbs no cluster on the same machine."""

NODE = ("127.40.1.1", 7000)
OTHER_NODE = ("127.40.1.3", 7000)
WEBSOCKETS = ("127.40.1.2", 7000)
NCHAN = ("127.40.1.4", 7000)
WS = ("127.40.1.5", 7000)
PROXY = ("127.40.2.1", 8080)
OTHER_PROXIES = (("127.40.2.3", 8080), ("127.40.2.4", 8080))
HAPROXY = ("127.40.2.2", 8080)
RELAYS = "127.40.2.0/24"
REDIS = ("127.40.3.1", 6379)

CLIENTS = tuple(f"127.40.4.{number}" for number in range(1, 9))
"""Where clients come from. Several, so that nobody runs out of ports or into a limit per address."""

CLUSTER_NETWORK = 41
"""Second byte of the addresses of the whole cluster."""
CLUSTER_HOST = "127.41.0.1"
CLUSTER_PORT = 18080
CLUSTER_DASHBOARD_PORT = 19090
CLUSTER_REDIS_PORT = 16379


def url(address: tuple[str, int]) -> str:
    """Return the URL of the echo endpoint behind an address."""
    return f"ws://{address[0]}:{address[1]}/echo"
