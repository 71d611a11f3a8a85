"""A gateway as a unit of systemd: ready without Redis, its state in words, a watchdog that a stalled loop runs out."""

import contextlib
import signal
import time
from pathlib import Path

from tests.integration.gateway.wire import connect
from tests.processes import Stack, connects, until
from tests.systemd import notified


def test_ready_when_it_listens_and_without_redis(stack: Stack, tmp_path: Path) -> None:
    with notified(tmp_path) as systemd:
        node = stack.gateway(wait=False)  # there is no Redis
        systemd.wait("READY")
        assert connects(node.address)
        assert connects(node.admin)
        assert node.info()["state"] == "UP"
        assert not node.ready()
    assert ("STATUS", "UP, 0 sessions") in [(key, value) for _, key, value in systemd.told]


def test_every_change_of_state_is_told_and_only_the_last_drain_is_stopping(stack: Stack, tmp_path: Path) -> None:
    stack.redis()
    with notified(tmp_path) as systemd:
        node = stack.gateway(drain_timeout=0.5)
        systemd.wait("READY")
        with connect(node.address) as client:
            node.post("/drain?seconds=30")
            systemd.wait("STATUS", "DRAINING, 1 sessions")
            assert systemd.count("STOPPING") == 0
            node.post("/undrain")
            # It may have been closed meanwhile.
            systemd.wait("STATUS", f"UP, {node.info()['connections']} sessions")
            client.socket.close()
        node.signal(signal.SIGTERM)
        systemd.wait("STOPPING")
        systemd.wait("STATUS", "STOPPED, 0 sessions")
        assert node.wait() == 0
        assert systemd.count("READY") == 1


def test_the_watchdog_is_fed_until_the_process_stands_still(stack: Stack, tmp_path: Path) -> None:
    with notified(tmp_path, WATCHDOG_USEC="300000") as systemd:
        node = stack.gateway(wait=False)
        systemd.wait("READY")
        with contextlib.suppress(OSError):
            node.info()
        before = systemd.count("WATCHDOG")
        until(lambda: systemd.count("WATCHDOG") >= before + 5, "the watchdog is fed")
        node.signal(signal.SIGSTOP)
        time.sleep(0.1)
        stood = systemd.count("WATCHDOG")
        time.sleep(0.6)
        assert systemd.count("WATCHDOG") == stood
        node.signal(signal.SIGCONT)
        until(lambda: systemd.count("WATCHDOG") > stood, "it goes on")
