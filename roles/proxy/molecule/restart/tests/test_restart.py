"""What 500 clients that talk notice of restarts and crashes of the proxy and its keeper."""

import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.hosts.checks import unit_property
from tests.hosts.deployed import Deployed, until
from tests.hosts.machine import Machine
from tests.hosts.shell import CommandFailed
from tests.hosts.witness import Witness

CLIENTS = 500
PROXY, KEEPER = "flux-proxy.service", "flux-keeper.service"
MOST_GIVEN_UP = CLIENTS // 100
"""Clients that a crash of the proxy may cost: something of theirs was in its memory."""


def pid(host: Machine, unit: str) -> str:
    """The process of a unit; "0" for none."""
    return unit_property(host, unit, "MainPID")


def kept(host: Machine) -> int:
    """How many connections the keeper says that it holds; -1 while none answers."""
    try:
        said = host.exec("/opt/flux-gateway/current/bin/python", "-c",
                         "import asyncio; from flux_gateway.keeper.link import count; "
                         "print(asyncio.run(count('/run/flux-keeper/keeper.sock')))")  # fmt: skip
    except CommandFailed:
        return -1
    return int(said)


@pytest.mark.parametrize(
    ("what", "ends"),
    [
        (("restart", PROXY), PROXY),
        (("kill", "-s", "TERM", PROXY), PROXY),
        (("kill", "-s", "KILL", KEEPER), KEEPER),
        (("restart", KEEPER), KEEPER),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_no_client_notices(deployed: Deployed, first: Machine, what: tuple[str, ...], ends: str) -> None:
    before = {unit: pid(first, unit) for unit in (PROXY, KEEPER)}
    with Witness(deployed.url, expect="none", clients=CLIENTS, return_within=None) as witness:
        first.exec("systemctl", *what)
        until(lambda: pid(first, ends) not in ("0", before[ends]), "it is another process", 10)
        until(lambda: kept(first) >= CLIENTS, "the keeper has every connection", 10)
        time.sleep(2)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    other = KEEPER if ends == PROXY else PROXY
    assert pid(first, other) == before[other], "it must not be restarted along"
    until(lambda: kept(first) == 0, "the keeper has let go of connections that have ended", 5)


def test_a_proxy_that_is_killed_costs_next_to_nobody(deployed: Deployed, first: Machine) -> None:
    before = pid(first, PROXY)
    with Witness(deployed.url, expect="1006,1012", clients=CLIENTS, return_within=5, newcomer_retries=3) as witness:
        first.exec("systemctl", "kill", "-s", "KILL", PROXY)
        until(lambda: pid(first, PROXY) not in ("0", before), "it is another process", 10)
        time.sleep(4)
    closed = witness.check()["report"]["counts"]["disconnects"]
    assert sum(closed.values()) <= MOST_GIVEN_UP, closed


def test_both_killed_at_once_cost_everybody_one_reconnect(deployed: Deployed, first: Machine) -> None:
    with Witness(deployed.url, expect="1006", clients=CLIENTS, return_within=8, newcomer_retries=10) as witness:
        first.exec("systemctl", "kill", "-s", "KILL", PROXY, KEEPER)
        time.sleep(5)
    assert witness.check()["report"]["counts"]["disconnects"] == {"1006": CLIENTS}


def test_a_stop_closes_with_1012(deployed: Deployed, first: Machine) -> None:
    # The listener stays with systemd: whoever comes back starts the proxy again.
    with Witness(deployed.url, expect="1012", clients=CLIENTS, return_within=6, newcomer_retries=3) as witness:
        first.exec("systemctl", "stop", PROXY)
        time.sleep(5)
    assert witness.check()["report"]["counts"]["disconnects"] == {"1012": CLIENTS}


@pytest.mark.timeout(400)
def test_new_settings_reach_the_proxy_and_nobody_else(deployed: Deployed, first: Machine) -> None:
    before = {unit: pid(first, unit) for unit in (PROXY, KEEPER)}
    with Witness(deployed.url, expect="none", clients=CLIENTS, return_within=None) as witness:
        deployed.playbook("site.yml", "--extra-vars", '{"proxy_settings": {"load_factor": 1.5}}')
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    assert pid(first, PROXY) != before[PROXY]
    assert pid(first, KEEPER) == before[KEEPER]


@pytest.mark.timeout(400)
def test_another_listener_keeps_who_is_connected(deployed: Deployed, first: Machine) -> None:
    # New clients are refused for a moment, while nothing listens.
    with Witness(deployed.url, expect="none", clients=CLIENTS, return_within=None, newcomer_retries=5) as witness:
        deployed.playbook("site.yml", "--extra-vars", "proxy_backlog=2048")
        time.sleep(1)
    assert witness.check()["report"]["counts"]["disconnects"] == {}
    assert unit_property(first, "flux-proxy.socket", "Backlog") == "2048"


def test_clients_of_a_proxy_that_has_given_up_are_let_go(deployed: Deployed, first: Machine) -> None:
    with connect(f"{deployed.url}/echo", compression=None) as client:
        client.send("here")
        assert client.recv(timeout=5) == "here"
        broken = "/run/systemd/system/flux-proxy.service.d"
        first.exec("mkdir", "-p", broken)
        first.exec("sh", "-c", f"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > {broken}/broken.conf")
        first.exec("systemctl", "daemon-reload")
        try:
            first.exec("systemctl", "kill", "-s", "KILL", PROXY)
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=15)
            # HAProxy was there first, so that they can come back.
            assert unit_property(first, "flux-haproxy.service", "ActiveState") == "active"
            with connect(f"{deployed.url}/echo", compression=None) as again:
                again.send("back")
                assert again.recv(timeout=5) == "back"
        finally:
            first.exec("rm", "-r", broken)
            first.exec("systemctl", "daemon-reload")
            first.exec("systemctl", "reset-failed")
            first.exec("systemctl", "start", PROXY)
    until(lambda: unit_property(first, "flux-haproxy.service", "ActiveState") == "inactive", "HAProxy has left", 45)


def test_the_order_of_keeper_and_proxy_survives_a_boot(deployed: Deployed, first: Machine) -> None:
    # An attempt to bring the proxy back that is under way must not hold the shutdown up.
    first.exec("systemctl", "--no-block", "start", "flux-proxy-return.service")
    first.reboot()
    deployed.all_up(60)
    units = (PROXY, KEEPER, "flux-proxy.socket")
    # The proxy serves a little before it is READY.
    until(lambda: {unit_property(first, unit, "ActiveState") for unit in units} == {"active"}, "all are active", 20)
    ready = int(unit_property(first, KEEPER, "ActiveEnterTimestampMonotonic"))
    assert ready <= int(unit_property(first, PROXY, "ExecMainStartTimestampMonotonic"))
    before = pid(first, PROXY)
    with Witness(deployed.url, expect="none", clients=CLIENTS, return_within=None) as witness:
        first.exec("systemctl", "restart", PROXY)
        time.sleep(1)
    assert pid(first, PROXY) != before
    assert witness.check()["report"]["counts"]["disconnects"] == {}
