"""Thousands of idle connections: they stay open, cost little, and do not slow others down."""

import json

from tests.cluster import FluxCluster

CLIENTS = 5000


def test_five_thousand_idle_connections_stay_open(cluster: FluxCluster) -> None:
    done = cluster.flux(
        "load", "--url", f"{cluster.url}/echo", "--clients", str(CLIENTS), "--rate", "0.05", "--duration", "15",
        "--ramp", "1000", "--connect-timeout", "30", "--json",
    )  # fmt: skip
    counts = json.loads(done.stdout)["report"]["counts"]
    assert counts["connects"] == CLIENTS
    assert counts["disconnects"] == {}
    assert counts["connect_failures"] == {}
    assert counts["received"] == counts["sent"] > CLIENTS // 2
