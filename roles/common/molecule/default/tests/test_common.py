"""User, release, secrets, kernel settings, command line and firewall on the oldest and the newest Debian."""

from typing import Any

from tests.hosts.checks import address_of

PREFIX = "/opt/flux-gateway"


def test_the_release_runs_without_anything_from_the_internet(host: Any) -> None:
    assert host.check_output("flux --version").startswith("flux, version ")
    current = host.file(f"{PREFIX}/current")
    assert current.is_symlink
    assert host.file(f"{current.linked_to}/complete").exists
    assert not host.package("python3-pip").is_installed
    assert host.check_output(f"ls {PREFIX}").split() == ["current", "releases", "stale-unit"]


def test_the_command_line_knows_the_cluster_and_says_who_may_use_it(host: Any) -> None:
    said = host.run("flux status")
    assert said.rc == 1
    assert "Redis does not answer" in said.stderr
    assert "Traceback" not in said.stderr
    denied = host.run("su -s /bin/sh nobody -c 'cd / && flux status'")
    assert denied.rc == 1
    assert "group flux" in denied.stderr


def test_secrets_are_for_the_daemons_alone(host: Any) -> None:
    for name in ("token", "redis-password", "flux.toml"):
        file = host.file(f"/etc/flux/{name}")
        assert (file.user, file.group, file.mode) == ("root", "flux", 0o640)
    assert host.user("flux").shell == "/usr/sbin/nologin"


def test_kernel_settings_are_in_force(host: Any) -> None:
    wanted = {"net.core.somaxconn": 65535, "net.ipv4.tcp_tw_reuse": 1, "net.ipv4.tcp_fin_timeout": 20}
    assert {name: host.sysctl(name) for name in wanted} == wanted
    assert host.check_output("sysctl -n net.ipv4.ip_local_port_range").split() == ["1024", "65535"]


def test_the_firewall_lets_only_the_cluster_in(host: Any) -> None:
    if host.check_output("hostname") != "common-b":
        assert host.run("nft list table inet flux").rc != 0
        return
    rules = host.check_output("nft list table inet flux")
    assert address_of(host) in rules
    # Hosts of the cluster, this one among them, get through; the machine that runs the test does not belong to it.
    listener = "import socket, time; s = socket.create_server(('0.0.0.0', 7100)); time.sleep(20)"
    host.check_output(f'systemd-run -q --unit=listener --collect python3 -c "{listener}"')
    try:
        assert _reaches(address_of(host), 22)
        assert not _reaches(address_of(host), 7100)
        host.check_output("nft add element inet flux cluster '{ 10.42.0.1 }'")
        assert _reaches(address_of(host), 7100)
    finally:
        host.check_output("systemctl stop listener")
        host.check_output("systemctl reload flux-firewall")


def _reaches(address: str, port: int) -> bool:
    import socket

    for _ in range(3):
        try:
            socket.create_connection((address, port), timeout=1).close()
        except TimeoutError:
            continue
        return True
    return False
