"""How many a proxy takes: from one address, in all, and when it is out of files. Those it has go on."""

import pytest

from tests.integration.gateway.wire import Wire, close_all, connect, request
from tests.processes import Daemon, Stack, until, usable


def test_a_thousand_from_one_address_are_limited_and_counted(shared: Stack) -> None:
    shared.gateway()
    proxy = shared.proxy(max_connections_per_ip=50)
    flood = shared.host(9, 1)
    with connect(proxy.address, source=shared.host(9, 2)) as other:
        worst, statuses = 0.0, []
        held = []
        for number in range(1000):
            client = Wire(proxy.address, source=flood)
            client.send(request())
            statuses.append(client.answer().status)
            if statuses[-1] == 101:
                held.append(client)
            else:
                client.socket.close()
            if not number % 20:
                worst = max(worst, other.echo())
        assert statuses == [101] * 50 + [429] * 950
        assert worst < 1
        assert proxy.metric("flux_proxy_clients_refused_total", reason="429") == 950
        for client in held:
            client.echo()
        with connect(proxy.address, source=shared.host(9, 3)) as third:
            third.echo()
        held.pop().socket.close()
        until(lambda: _status(proxy, flood) == 101, "there is room again for one")


def test_the_own_machine_is_exempt_from_the_limit(shared: Stack) -> None:
    proxy = shared.proxies[0]
    clients = [connect(proxy.address, source="127.0.0.1") for _ in range(60)]
    for client in clients:
        client.echo()


def test_no_more_clients_than_allowed_in_all(stack: Stack) -> None:
    stack.redis()
    stack.gateway()
    proxy = stack.proxy(max_connections=10)
    clients = [connect(proxy.address) for _ in range(10)]
    with Wire(proxy.address) as eleventh:
        eleventh.send(request())
        answer = eleventh.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    for client in clients:
        client.echo()
    clients.pop().socket.close()
    until(lambda: _status(proxy, "") == 101, "there is room again for one")


def _connections(proxy: Daemon) -> int | None:
    """Clients the proxy holds; None while it has no file to spare for the question."""
    try:
        count: int = proxy.info()["connections"]
    except OSError:
        return None
    return count


@pytest.mark.parametrize("files", [64, 65])
def test_out_of_files_the_others_go_on_and_it_recovers(stack: Stack, files: int) -> None:
    """An even and an odd number, so that once the client's and once the backend's socket is the one too many."""
    stack.redis()
    stack.gateway()
    proxy = stack.proxy(files=files, max_connections=1000)
    with connect(proxy.address) as other:
        held, refused, waiting = [], 0, 0
        for _ in range(36):
            client = Wire(proxy.address)
            client.send(request())
            client.socket.settimeout(0.1)
            try:
                status = client.answer().status
            except TimeoutError:
                waiting += 1
                continue
            assert status in (101, 503)
            refused += status == 503
            if status == 101:
                held.append(client)
            assert other.echo() < 1
        # A lonely file left serves to refuse; none at all, and clients wait to be accepted.
        assert refused + waiting > 5
        assert len(held) > 5, "as many as there are files for"
        assert len(held) < 40
        for client in held:
            client.socket.settimeout(5)
            client.echo()
        close_all(but=other)
        until(lambda: _connections(proxy) == 1, "all but one are gone")
        with connect(proxy.address) as late:
            late.echo()
        other.echo()
    assert "Traceback" not in proxy.said()


def test_two_proxies_share_a_port(stack: Stack) -> None:
    stack.redis()
    stack.gateway()
    stack.gateway()
    address = stack.host(2, 100)
    first = stack.proxy(host=address)
    second = stack.proxy(host=address)
    assert first.address == second.address
    landed: dict[int, set[str]] = {}
    for number in range(60):
        with Wire(first.address) as client:
            node = client.open(f"/echo?session={number % 6}").headers["x-flux-node"]
            client.echo()
        landed.setdefault(number % 6, set()).add(node)
    taken = [proxy.metric("flux_proxy_sessions_opened_total") for proxy in (first, second)]
    assert sum(taken) == 60
    assert min(taken) > 5, "the kernel spreads clients over both"
    assert all(len(nodes) == 1 for nodes in landed.values()), "both rank the nodes alike"
    assert len(usable(second)) == 2


def _status(proxy: Daemon, source: str) -> int:
    with Wire(proxy.address, source=source) as client:
        client.send(request())
        return client.answer().status
