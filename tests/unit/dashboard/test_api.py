"""Pages, health and `/api/cluster`, with a real Redis behind."""

import gzip
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import EventKind
from flux_gateway.dashboard.parts import parts
from tests.unit.dashboard.conftest import MakeApp
from tests.unit.dashboard.world import Members, RedisServer, wait_for


def test_the_cluster_as_json(members: Members, make_app: MakeApp) -> None:
    for number in (1, 2, 10):
        members.node(f"gateway-{number}", EventKind.JOINED)
    members.node("gateway-2", EventKind.DRAINING, state=NodeState.DRAINING)
    members.past("gateway-1", seconds=300)
    members.proxy("proxy-1", links={"gateway-1": "suspect", "gateway-2": "up", "gateway-10": "up"})
    app = make_app()
    wait_for(lambda: parts(app).board.view.nodes, "no view")
    first = parts(app).board.view.nodes["gateway-1"]
    wait_for(lambda: parts(app).board.view.nodes["gateway-1"].slots_share is not None, "no shares")
    answer = app.test_client().get("/api/cluster")
    view = answer.json
    assert view is not None
    assert first.id == "gateway-1"
    assert [node["id"] for node in view["nodes"]] == ["gateway-1", "gateway-2", "gateway-10"]
    assert (view["stale"], view["problem"]) == (False, "")
    assert 0 <= view["age"] < 3
    node = view["nodes"][0]
    assert {**node, "history": 0, "heartbeat_age": 0, "heartbeat_at": 0, "started_at": 0, "slots_share": 0} == {
        "id": "gateway-1",
        "state": "UP",
        "suspected_by": ["proxy-1"],
        "host": "127.0.0.1",
        "port": 7001,
        "weight": 1.0,
        "version": "1.2.3",
        "connections": 10,
        "messages_in": 100.0,
        "messages_out": 400.0,
        "cpu": 12.5,
        "rss": 50 * 2**20,
        "lag": 0.0,
        "slots_share": 0,
        "started_at": 0,
        "heartbeat_at": 0,
        "heartbeat_age": 0,
        "history": 0,
    }
    assert 0 <= node["heartbeat_age"] < 3
    # A drained node gets no new keys: the other two share all slots.
    assert view["nodes"][1]["slots_share"] == 0
    assert node["slots_share"] + view["nodes"][2]["slots_share"] == pytest.approx(1.0, abs=1e-4)
    assert node["history"]["connections"][:3] == [300, 295, 290]
    assert {len(column) for column in node["history"].values()} == {61}
    assert view["proxies"][0]["nodes"] == {"gateway-1": 10, "gateway-2": 20, "gateway-10": 100}
    assert [(event["subject"], event["kind"]) for event in view["events"]][:2] == [
        ("gateway-2", "draining"),
        ("gateway-10", "joined"),
    ]


def test_history_and_time_line_survive_a_restart(members: Members, make_app: MakeApp) -> None:
    members.node("gateway-1", EventKind.JOINED)
    members.past("gateway-1", seconds=600)
    answers = []
    for _ in range(2):
        app = make_app()
        board = parts(app).board
        board.wait(0, timeout=5)
        answers.append(app.test_client().get("/api/cluster").json)
        parts(app).close()
    before, after = answers
    assert before is not None
    assert after is not None
    assert after["events"] == before["events"] != []
    assert after["nodes"][0]["history"] == before["nodes"][0]["history"]
    assert len(after["nodes"][0]["history"]["at"]) == 121


def test_a_lost_heartbeat_shows_as_dead(members: Members, client: FlaskClient) -> None:
    members.node("gateway-1", EventKind.JOINED)
    members.lose_heartbeat("gateway-1")

    def state() -> tuple[str, object]:
        view = client.get("/api/cluster").json
        assert view is not None
        return next(((node["state"], node["heartbeat_age"]) for node in view["nodes"]), ("", 0))

    wait_for(lambda: state() == ("DEAD", None), "not dead", patience=3)


def test_a_large_answer_is_compressed(members: Members, make_app: MakeApp) -> None:
    members.node("gateway-1")
    members.past("gateway-1", seconds=900)
    app = make_app()
    client = app.test_client()
    wait_for(lambda: (client.get("/api/cluster").json or {})["nodes"], "no node")
    plain = client.get("/api/cluster")
    assert "Content-Encoding" not in plain.headers
    answer = client.get("/api/cluster", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) < len(plain.data) / 2
    # Heartbeats age between the two answers; what is asked for is the same.
    assert json.loads(gzip.decompress(answer.data)).keys() == (plain.json or {}).keys()


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "/dashboard"
    page = client.get("/dashboard")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    text = page.text
    assert "http://" not in text
    assert "https://" not in text
    assert "<script>" not in text
    assert " style=" not in text


def test_health_follows_the_data(redis_server: RedisServer, client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200
    redis_server.stop()
    wait_for(lambda: client.get("/readyz").status_code == 503, "still ready without Redis")
    assert client.get("/livez").status_code == 200
    redis_server.start()
    wait_for(lambda: client.get("/readyz").status_code == 200, "not ready again")


@pytest.mark.parametrize("fault", ["stop", "hang"])
def test_stale_while_redis_is_away(
    fault: str, redis_server: RedisServer, members: Members, client: FlaskClient
) -> None:
    members.node("gateway-1")
    wait_for(lambda: (client.get("/api/cluster").json or {})["nodes"], "no node")
    getattr(redis_server, fault)()
    wait_for(lambda: (client.get("/api/cluster").json or {})["stale"], "not stale", patience=5)
    view = client.get("/api/cluster").json
    assert view is not None
    assert "Redis does not answer" in view["problem"]
    assert [node["state"] for node in view["nodes"]] == ["UP"]
    redis_server.stop()
    redis_server.start()
    wait_for(lambda: not (client.get("/api/cluster").json or {})["stale"], "still stale", patience=5)


def test_it_starts_without_redis(redis_server: RedisServer, members: Members, make_app: MakeApp) -> None:
    redis_server.stop()
    client = make_app().test_client()
    assert client.get("/dashboard").status_code == 200
    view = client.get("/api/cluster").json
    assert view is not None
    assert (view["stale"], view["age"], view["nodes"]) == (True, None, [])
    redis_server.start()
    members.node("gateway-1")
    wait_for(lambda: (client.get("/api/cluster").json or {})["nodes"], "no node")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9090", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("10.1.2.3", 200),
        ("flux.example.org", 200),
        ("attacker.example", 421),
        ("localhost.attacker.example:9090", 421),
    ],
)
def test_only_own_names_are_answered(host: str, status: int, make_app: MakeApp) -> None:
    client = make_app(allowed_hosts=("Flux.example.org",)).test_client()
    assert client.get("/api/cluster", headers={"Host": host}).status_code == status


def test_an_unreadable_token_is_read_only(make_app: MakeApp, tmp_path: Path) -> None:
    client = make_app(token_file=str(tmp_path / "absent")).test_client()
    assert (client.get("/api/session").json or {})["controls"] == "absent"
