"""systemd hears from the dashboard when it listens: gunicorn tells it."""

from pathlib import Path

from tests.systemd import notified
from tests.unit.dashboard.process import Dashboard


def test_ready_is_told_when_the_dashboard_listens(tmp_path: Path) -> None:
    with notified(tmp_path) as systemd:
        dashboard = Dashboard(1, tmp_path)  # nobody is on port 1: it must not wait for Redis
        try:
            systemd.wait("READY")
            assert dashboard.status("/livez") == 200  # the backlog takes it, until the worker is there
            assert systemd.count("READY") == 1
        finally:
            dashboard.kill()
        assert systemd.count("READY") == 1


def test_a_dashboard_that_cannot_listen_is_never_ready(tmp_path: Path) -> None:
    first = Dashboard(1, tmp_path)
    try:
        while not first.status("/livez"):
            assert first.process.poll() is None
        with notified(tmp_path) as systemd:
            second = Dashboard(1, tmp_path, port=first.port)
            assert second.process.wait(30) == 1
            assert systemd.count("READY") == 0
    finally:
        first.kill()
