"""Who may drain, and that it reaches the node."""

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.dashboard.access import WRONG_TOKENS
from flux_gateway.dashboard.parts import parts
from tests.unit.dashboard.conftest import TOKEN, AdminPort, MakeApp, Operator
from tests.unit.dashboard.world import Members, free_port, wait_for

DRAIN = "/api/nodes/gateway-1/drain"


@pytest.fixture
def node(members: Members, admin_port: AdminPort, app: Flask) -> str:
    """A node the dashboard knows, whose admin port is real."""
    members.node("gateway-1", admin_port=admin_port.number)
    wait_for(lambda: "gateway-1" in parts(app).board.view.nodes, "no node")
    return "gateway-1"


def test_an_operator_drains_and_undrains(
    node: str, app: Flask, members: Members, admin_port: AdminPort, operator: Operator
) -> None:
    assert operator.unlock() == 200
    assert operator.post(DRAIN)[0] == 202
    members.node(node, state=NodeState.DRAINING)
    wait_for(lambda: parts(app).board.view.nodes[node].state is NodeState.DRAINING, "not draining")
    assert operator.post("/api/nodes/gateway-1/undrain")[0] == 202
    assert admin_port.asked == [("/drain", f"Bearer {TOKEN}"), ("/undrain", f"Bearer {TOKEN}")]


def test_without_the_token_nothing_is_done(node: str, admin_port: AdminPort, operator: Operator) -> None:
    assert operator.post(DRAIN)[0] == 401
    assert operator.unlock("wrong") == 403
    assert operator.post(DRAIN)[0] == 401
    assert admin_port.asked == []


def test_a_locked_session_is_read_only_again(node: str, admin_port: AdminPort, operator: Operator) -> None:
    operator.unlock()
    assert operator.post("/api/lock") == (200, {"csrf": operator.csrf, "controls": "locked"})
    assert operator.post(DRAIN)[0] == 401
    assert admin_port.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X_CSRF_Token": ""},
        {"X_CSRF_Token": "forged"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_forged_requests_are_refused(
    headers: dict[str, str], node: str, admin_port: AdminPort, operator: Operator
) -> None:
    operator.unlock()
    assert operator.post(DRAIN, **headers)[0] == 403
    assert operator.post("/api/unlock", {"token": TOKEN}, **headers)[0] == 403
    assert operator.post("/api/lock", **headers)[0] == 403
    assert admin_port.asked == []


def test_our_own_page_is_not_refused(node: str, operator: Operator) -> None:
    operator.unlock()
    assert operator.post(DRAIN, Origin="http://localhost", Sec_Fetch_Site="same-origin")[0] == 202


def test_a_session_without_a_cookie_is_refused(node: str, app: Flask, operator: Operator) -> None:
    stranger = app.test_client()
    assert stranger.post(DRAIN, headers={"X-CSRF-Token": operator.csrf}).status_code == 403


def test_reading_changes_nothing(node: str, admin_port: AdminPort, operator: Operator) -> None:
    operator.unlock()
    assert operator.client.get(DRAIN).status_code == 405
    assert admin_port.asked == []


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient) -> None:
    cookie = client.get("/api/session").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_guessing_is_slowed_down(operator: Operator) -> None:
    for _ in range(WRONG_TOKENS):
        assert operator.unlock("wrong") == 403
    assert operator.unlock("wrong") == 429
    assert operator.unlock(TOKEN) == 429


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 5}', b"\xff", b'{"token": "' + b"x" * 5000 + b'"}'])
def test_a_malformed_unlock_is_refused(body: bytes, operator: Operator) -> None:
    answer = operator.client.post("/api/unlock", data=body, headers={"X-CSRF-Token": operator.csrf})
    assert answer.status_code in (400, 413)


def test_the_token_is_in_no_answer_and_no_log(
    node: str, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        operator.unlock("wrong")
        operator.unlock()
        operator.post(DRAIN)
    pages = [operator.client.get(path).text for path in ("/dashboard", "/api/cluster", "/api/session")]
    assert not any(TOKEN in text for text in [*pages, caplog.text])


def test_a_dashboard_without_a_token_is_read_only(members: Members, make_app: MakeApp) -> None:
    members.node("gateway-1")
    app = make_app()
    wait_for(lambda: parts(app).board.view.nodes, "no node")
    operator = Operator(app.test_client())
    assert operator.unlock("") == 403
    status, body = operator.post(DRAIN)
    assert status == 403
    assert "read-only" in body["error"]


def test_what_cannot_be_done_is_said(
    node: str, app: Flask, members: Members, admin_port: AdminPort, operator: Operator
) -> None:
    operator.unlock()
    assert operator.post("/api/nodes/nobody/drain")[0] == 404
    assert operator.post("/api/nodes/gateway-1/restart")[0] == 404
    assert operator.post("/api/nodes/gateway-1/undrain") == (409, {"error": "gateway-1 is UP already."})
    admin_port.status = 403
    assert operator.post(DRAIN) == (502, {"error": "gateway-1 answered 403: told"})
    members.node("gateway-2", admin_port=free_port())
    members.node("gateway-3", state=NodeState.STOPPED)
    wait_for(lambda: len(parts(app).board.view.nodes) == 3, "no nodes")
    assert operator.post("/api/nodes/gateway-2/drain") == (
        502,
        {"error": "gateway-2 cannot be reached: Connection refused"},
    )
    assert operator.post("/api/nodes/gateway-3/drain")[0] == 409
