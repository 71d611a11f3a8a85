"""What a node writes into Redis, and how it lives without."""

import json
import time
from typing import Any

from tests.integration.gateway.wire import connect
from tests.processes import HEARTBEAT, PORT, Process, Stack, until

FIELDS = {
    "id", "host", "port", "admin_port", "state", "weight", "version", "connections", "started_at", "heartbeat_at",
}  # fmt: skip


def record(stack: Stack, node_id: str = "gateway-1") -> dict[str, Any]:
    with stack.registry() as registry:
        found = registry.hget("gateway:nodes", node_id)
    assert isinstance(found, (str, type(None)))
    return json.loads(found) if found else {}


def timeline(stack: Stack, subject: str) -> list[str]:
    with stack.registry() as registry:
        entries: Any = registry.xrange("gateway:timeline")
    events = [json.loads(fields["event"]) for _, fields in entries]
    return [event["kind"] for event in events if event["subject"] == subject]


def test_the_record_has_the_fields_of_the_design(stack: Stack) -> None:
    stack.redis()
    stack.gateway(weight=2.5)
    facts = record(stack)
    assert facts.keys() >= FIELDS
    assert (facts["id"], facts["host"], facts["port"]) == ("gateway-1", stack.host(1, 1), PORT)
    assert (facts["state"], facts["weight"], facts["connections"]) == ("UP", 2.5, 0)
    assert abs(facts["heartbeat_at"] - time.time()) < 2
    with connect(stack.nodes[0].address):
        until(lambda: record(stack)["connections"] == 1, "the record counts the client")
    before = record(stack)["heartbeat_at"]
    until(lambda: record(stack)["heartbeat_at"] > before, "the next heartbeat")


def test_the_heartbeat_lives_for_three_intervals(stack: Stack) -> None:
    stack.redis()
    stack.gateway(redis_heartbeat_interval=5)
    with stack.registry() as registry:
        life: Any = registry.pttl("gateway:heartbeat:gateway-1")
    assert 10_000 < life <= 15_000


def test_a_killed_node_is_declared_dead_exactly_once(stack: Stack) -> None:
    stack.redis()
    node = stack.gateway()
    stack.proxy()
    stack.proxy()
    time.sleep(HEARTBEAT * 3)  # a proxy that has just found Redis draws no conclusion from silence yet
    started = time.monotonic()
    node.end()
    until(lambda: record(stack)["state"] == "DEAD", "declared dead")
    assert time.monotonic() - started < HEARTBEAT * 3 + 2
    time.sleep(1)  # time for a second declaration, which must not come
    assert timeline(stack, "gateway-1").count("dead") == 1
    node.restart()
    node.wait_ready()
    until(lambda: record(stack)["state"] == "UP", "it is back")


def test_registers_anew_in_an_empty_redis(stack: Stack) -> None:
    server = stack.redis()
    node = stack.gateway()
    with connect(node.address) as client:
        _stop(server)
        until(lambda: not node.info()["registry_reachable"], "the node noticed")
        client.echo()
        assert "registry away" in node.said()
        server.restart()
        until(lambda: _known(stack), "registered anew")
        assert record(stack)["state"] == "UP"
        until(lambda: "recovered" in timeline(stack, "gateway-1"), "the timeline tells of it")
        client.echo()


def test_without_redis_at_the_start_it_keeps_trying(stack: Stack) -> None:
    node = stack.gateway(wait=False)
    until(lambda: "registry away" in node.said(), "it says so")
    status, answer = node.get("/readyz")
    assert (status, answer["reason"]) == (503, "Redis has not been reached yet")
    with connect(node.address) as client:
        client.echo()
    stack.redis()
    node.wait_ready()
    assert record(stack)["state"] == "UP"


def _stop(server: Process) -> None:
    server.end()


def _known(stack: Stack) -> bool:
    try:
        return bool(record(stack))
    except OSError:
        return False
    except Exception as error:
        if type(error).__module__.startswith("redis"):
            return False
        raise
