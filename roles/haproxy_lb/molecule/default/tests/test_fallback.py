"""The proxy is made to fail: HAProxy serves in its place, routes as it does, and leaves when the proxy is back."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.hosts.checks import SSH, listening, security_exposure
from tests.hosts.deployed import until

DROP_IN = "/etc/systemd/system/flux-proxy.service.d/broken.conf"
SETTINGS = "/etc/flux/proxy.toml"
FALLBACK_SECONDS = 15
RETURN_SECONDS = 20
KEYS = [f"key-{number}" for number in range(12)]


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The address on which clients reach this host."""
    return str(host.ansible.get_variables()["ansible_host"])


def client(address: str, target: str = "/echo", headers: dict[str, str] | None = None) -> ClientConnection:
    """Return a connected client."""
    return connect(
        f"ws://{address}:8080{target}", additional_headers=headers, open_timeout=10, close_timeout=1,
        ping_interval=None, compression=None,
    )  # fmt: skip


def first_message(address: str, target: str = "/echo", headers: dict[str, str] | None = None) -> dict[str, str]:
    """Connect and return what the node says of itself: `node` and `client`."""
    with client(address, target, headers) as opened:
        said: dict[str, str] = json.loads(opened.recv(5))
        return said


def serves(host: Host, unit: str) -> bool:
    """Tell whether a unit is active."""
    return bool(host.run(f"systemctl is-active --quiet {unit}").rc == 0)


def only_haproxy(host: Host) -> bool:
    """Tell whether HAProxy serves and nobody tries to bring the proxy back at this moment."""
    return serves(host, "flux-haproxy.service") and not serves(host, "flux-proxy.socket")


def attempt(host: Host) -> str:
    """How the last attempt to bring the proxy back ended, in systemd's words."""
    return str(host.check_output("systemctl show --property Result --value flux-proxy-return.service"))


def break_program(host: Host) -> None:
    """Make every start of the proxy fail, although its settings are right."""
    unit = "[Service]\\nExecStart=\\nExecStart=/bin/false\\n"
    host.check_output(f"mkdir -p $(dirname {DROP_IN}) && printf '{unit}' > {DROP_IN}")
    host.check_output("systemctl daemon-reload")
    host.run("systemctl restart flux-proxy.service")


def mend_program(host: Host) -> None:
    """Undo `break_program`; somebody else has to start the proxy."""
    host.check_output(f"rm -f {DROP_IN} && systemctl daemon-reload")


@pytest.fixture(scope="class")
def fallback(host: Host) -> Iterator[None]:
    """HAProxy serves, and goes on to do so: attempts to bring the proxy back are off."""
    break_program(host)
    until(lambda: serves(host, "flux-haproxy.service"), "HAProxy has taken over", FALLBACK_SECONDS)
    host.check_output("systemctl stop flux-proxy-return.timer flux-proxy-return.service")
    until(lambda: only_haproxy(host), "only HAProxy serves", 5)
    yield
    mend_program(host)
    host.check_output("systemctl reset-failed; systemctl start flux-proxy.service")
    until(lambda: not serves(host, "flux-haproxy.service"), "HAProxy has left", 40)


def test_it_waits_its_turn(host: Host) -> None:
    assert serves(host, "flux-proxy.service")
    for unit in ("flux-haproxy.service", "flux-proxy-return.timer", "haproxy.service"):
        assert not serves(host, unit), unit
        # static: nothing but another unit can start it.
        wanted = "disabled" if unit == "haproxy.service" else "static"
        assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == wanted, unit
    settings = host.file("/etc/flux/haproxy.cfg")
    assert (settings.user, settings.group, settings.mode) == ("root", "root", 0o640)
    units = "flux-haproxy.service flux-proxy-return.service flux-proxy-return.timer"
    assert host.run(f"systemd-analyze verify {units}").stderr == ""


def test_what_it_may_do_is_narrow(host: Host) -> None:
    assert security_exposure(host, "flux-haproxy.service") <= 3.0


@pytest.mark.usefixtures("fallback")
class TestInPlaceOfTheProxy:
    """While the proxy is broken."""

    def test_nothing_else_listens(self, host: Host, address: str) -> None:
        wide = {(where, port) for where, port in listening(host) if not where.startswith("127.")}
        assert wide == SSH | {(address, 8080)}
        assert host.check_output("stat -c '%U %a' /run/flux-haproxy/admin.sock") == "root 600"

    def test_a_key_leads_to_one_node(self, address: str) -> None:
        nodes = {}
        for key in KEYS:
            said = [
                first_message(address, f"/echo?other=1&session={key}"),
                first_message(address, "/echo", {"x-flux-session": key}),
                first_message(address, "/echo", {"Cookie": f"theme=dark; flux_session={key}"}),
                # In the proxy's order: query, header, cookie.
                first_message(address, f"/echo?session={key}", {"X-Flux-Session": "b", "Cookie": "flux_session=c"}),
            ]
            assert len({each["node"] for each in said}) == 1, key
            nodes[key] = said[0]["node"]
        assert set(nodes.values()) == {"a", "b"}

    def test_the_node_hears_who_the_client_is(self, address: str) -> None:
        with client(address) as opened:
            assert json.loads(opened.recv(5))["client"] == opened.local_address[0]
            opened.send("tick")
            assert opened.recv(5) == "tick"
        # Without a key the address decides: the same node each time.
        assert len({first_message(address)["node"] for _ in range(4)}) == 1

    def test_what_is_not_http_is_turned_away(self, address: str) -> None:
        with socket.create_connection((address, 8080), timeout=5) as sock:
            sock.sendall(b"EHLO flux\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100) == b""

    def test_a_dead_node_is_passed_over_at_once(self, host: Host, address: str) -> None:
        host.check_output("systemctl stop stand-in@a.service")
        try:
            assert {first_message(address, f"/echo?session={key}")["node"] for key in KEYS} == {"b"}
        finally:
            host.check_output("systemctl start stand-in@a.service")
        until(
            lambda: {first_message(address, f"/echo?session={key}")["node"] for key in KEYS} == {"a", "b"},
            "both nodes get clients again", 5,
        )  # fmt: skip

    def test_a_draining_node_keeps_its_clients_and_gets_no_new_ones(self, host: Host, address: str) -> None:
        key = next(key for key in KEYS if first_message(address, f"/echo?session={key}")["node"] == "a")
        with client(address, f"/echo?session={key}") as stays:
            stays.recv(5)
            host.check_output("touch /run/stand-in-a.draining")
            try:
                until(lambda: first_message(address, f"/echo?session={key}")["node"] == "b", "b gets the new ones", 5)
                stays.send("tick")
                assert stays.recv(5) == "tick"
            finally:
                host.check_output("rm /run/stand-in-a.draining")
        until(lambda: first_message(address, f"/echo?session={key}")["node"] == "a", "a gets it again", 5)

    def test_clients_of_a_node_that_hangs_are_let_go(self, host: Host, address: str) -> None:
        key = next(key for key in KEYS if first_message(address, f"/echo?session={key}")["node"] == "a")
        with client(address, f"/echo?session={key}") as stuck:
            stuck.recv(5)
            host.check_output("systemctl kill --signal=STOP stand-in@a.service")
            try:
                began = time.monotonic()
                with pytest.raises(ConnectionClosed):
                    stuck.recv(10)
                assert time.monotonic() - began < 4
                assert first_message(address, f"/echo?session={key}")["node"] == "b"
            finally:
                host.check_output("systemctl kill --signal=CONT stand-in@a.service")
        until(lambda: first_message(address, f"/echo?session={key}")["node"] == "a", "a gets it again", 5)

    def test_a_reload_ends_nothing(self, host: Host, address: str) -> None:
        with client(address) as stays:
            stays.recv(5)
            host.check_output("systemctl reload flux-haproxy.service")
            for _ in range(10):
                assert first_message(address)["node"] in "ab"
            stays.send("tick")
            assert stays.recv(5) == "tick"


class Caller:
    """A client that connects again and again, and counts who served it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.haproxy = self.proxy = self.nobody = 0

    def call(self) -> None:
        """Connect once."""
        try:
            first_message(self.address)
            self.haproxy += 1
        except InvalidStatus as answer:
            # The proxy has no nodes here, and says so. No other answer counts.
            self.proxy += answer.response.status_code == 503
        except (OSError, InvalidMessage, ConnectionClosed):
            self.nobody += 1


def test_the_proxy_comes_back_by_itself(host: Host, address: str) -> None:
    break_program(host)
    until(lambda: serves(host, "flux-haproxy.service"), "HAProxy has taken over", FALLBACK_SECONDS)
    # At least one attempt fails, and HAProxy goes on.
    until(lambda: attempt(host) == "exit-code", "an attempt has failed", RETURN_SECONDS)
    assert first_message(address)["node"] in "ab"
    mend_program(host)
    caller, end = Caller(address), time.monotonic() + RETURN_SECONDS
    while not (caller.proxy and not serves(host, "flux-haproxy.service")) and time.monotonic() < end + 40:
        caller.call()
    assert serves(host, "flux-proxy.service")
    assert serves(host, "flux-proxy.socket")
    assert not serves(host, "flux-haproxy.service")
    assert not serves(host, "flux-proxy-return.timer")
    assert caller.nobody == 0, vars(caller)
    assert caller.haproxy, vars(caller)


def test_wrong_settings_are_not_tried_and_an_administrator_ends_it(host: Host, address: str) -> None:
    host.check_output(f"cp -p {SETTINGS} /run/proxy.toml.right && sed -i '0,/^port/ s/^port = .*/port = 0/' {SETTINGS}")
    try:
        host.run("systemctl restart flux-proxy.service")
        until(lambda: serves(host, "flux-haproxy.service"), "HAProxy has taken over", FALLBACK_SECONDS)
        until(lambda: attempt(host) == "exec-condition", "the settings were refused", RETURN_SECONDS)
        assert only_haproxy(host)
        assert first_message(address)["node"] in "ab"
        host.check_output("systemctl stop flux-proxy-return.timer")
    finally:
        host.check_output(f"cp -p /run/proxy.toml.right {SETTINGS}")
    with contextlib.suppress(AssertionError):  # within 30 s of the fifth failure systemd wants reset-failed first
        host.check_output("systemctl start flux-proxy.service")
    if not serves(host, "flux-proxy.service"):
        host.check_output("systemctl reset-failed flux-proxy.service")
        host.check_output("systemctl start flux-proxy.service")
    until(
        lambda: serves(host, "flux-proxy.socket") and not serves(host, "flux-haproxy.service"), "the proxy is back", 40
    )
