"""Redis cut off from everybody, and Redis that comes back empty."""

import time

from flux_gateway.core.timeline import EventKind
from tests.hosts.deployed import Deployed, until
from tests.hosts.network import NETWORK
from tests.hosts.witness import Witness


def test_redis_is_cut_off_from_everybody(deployed: Deployed) -> None:
    redis = deployed.host("redis1")
    rules = [("INPUT", "-s"), ("OUTPUT", "-d")]
    with Witness(deployed.url, expect="none") as witness:
        began = time.time()
        for chain, match in rules:
            redis.exec("iptables", "-I", chain, match, NETWORK, "-p", "tcp", "-j", "DROP")
        try:
            time.sleep(12)
        finally:
            for chain, match in rules:
                redis.exec("iptables", "-D", chain, match, NETWORK, "-p", "tcp", "-j", "DROP")
        deployed.all_up()
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    assert not [event for event in deployed.events_since(began) if event.kind is EventKind.DEAD]


def test_redis_comes_back_empty(deployed: Deployed) -> None:
    redis = deployed.host("redis1")
    with Witness(deployed.url, expect="none") as witness:
        redis.exec("systemctl", "stop", "redis-server")
        redis.exec("rm", "-rf", "/var/lib/redis/appendonlydir", "/var/lib/redis/dump.rdb")
        redis.exec("systemctl", "start", "redis-server")
        until(lambda: len(deployed.states()) == 3, "the nodes have registered again", 20)
        deployed.all_up()
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
