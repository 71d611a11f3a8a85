"""The setting `log_sessions`: the story of a session in the log of its node, and of the proxy it came through."""

from flux_gateway.core import proxy_protocol
from tests.integration.gateway.wire import CLOSE, Wire, connect, frame, request
from tests.processes import Daemon, Stack, until


def lines(daemon: Daemon, session: str) -> list[str]:
    """Return the log lines of a session, without time."""
    return [line.split(" ", 1)[1] for line in daemon.said().splitlines() if f"session={session}" in line]


def test_a_session_s_story_is_told_by_proxy_and_node(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(log_sessions="true")
    proxy = stack.proxy(log_sessions="true")
    with Wire(proxy.address, source=stack.host(9, 5)) as client:
        session = client.open("/whoami?session=a").headers["x-flux-session"]
        client.send(frame(CLOSE, (1000).to_bytes(2, "big")))
        client.closed()
    until(lambda: len(lines(node, session)) == len(lines(proxy, session)) == 2, "both stories are over")
    begun, ended = lines(node, session)
    who = f"session={session} client={stack.host(9, 5)} path=/whoami node=gateway-1"
    assert begun == f"INFO gateway-1 session opened {who}"
    end = f"session ended session={session} node=gateway-1"
    assert ended.startswith(f"INFO gateway-1 {end} code=1000 by=client seconds=")
    begun, ended = lines(proxy, session)
    assert begun == f"INFO proxy-1 session opened {who}"
    assert ended.startswith(f"INFO proxy-1 {end} cause=closed seconds=")


def test_a_lost_client_and_a_refused_one(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway(log_sessions="true")
    proxy = stack.proxy(log_sessions="true")
    with Wire(proxy.address) as refused:
        refused.send(request("/nowhere"))
        assert refused.answer().status == 404
    assert "session opened" not in proxy.said()
    with Wire(node.address, source=proxy.address[0]) as direct:
        direct.send(proxy_protocol.encode(("203.0.113.7", 5), ("192.0.2.1", 7000), {proxy_protocol.UNIQUE_ID: b"s1"}))
        direct.open()
    until(lambda: len(lines(node, "s1")) == 2, "its end is told")
    assert "client=203.0.113.7" in lines(node, "s1")[0]
    assert "code=1006 by=client" in lines(node, "s1")[1]


def test_silent_unless_set(shared: Stack, node: Daemon) -> None:
    with connect(node.address) as client:
        client.echo()
    until(lambda: node.info()["connections"] == 0, "it is gone")
    assert "session opened" not in node.said()
    assert "session ended" not in node.said()
