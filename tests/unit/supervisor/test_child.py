"""`supervisor.child` with real processes: kept running, held, restarted, stopped."""

import asyncio
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import pytest

from flux_gateway.supervisor import child as child_module
from flux_gateway.supervisor.child import Child
from flux_gateway.supervisor.state_dir import StateDir
from flux_gateway.supervisor.topology import Program
from tests.unit.supervisor.support import (
    CRASHES,
    DEAF,
    SECOND_TERM,
    SLEEPS,
    TELLS,
    Supervised,
    program,
    supervised,
    until,
)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(child_module, "_LONGEST_PAUSE", 0.2)


def announced_pauses(caplog: pytest.LogCaptureFixture) -> list[float]:
    """The pauses that the log has announced, in seconds."""
    return [record.__dict__["fields"]["seconds"] for record in caplog.records if "restarting" in record.message]


def test_what_crashes_is_started_again_after_a_pause_that_grows_up_to_its_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with supervised(CRASHES, tmp_path) as one:
            await until(lambda: len(one.times) == 5)
            gaps = [later - earlier for earlier, later in pairwise(one.times)]
            for gap, pause in zip(gaps, (0.05, 0.1, 0.2, 0.2), strict=True):
                assert gap >= pause
            assert one.child.restarts in (4, 5)  # the fifth may have ended by now
            assert one.child.last_exit == "status 3"

    asyncio.run(main())
    assert announced_pauses(caplog)[:4] == [0.05, 0.1, 0.2, 0.2]


def test_a_killed_process_is_replaced_and_the_reason_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            first = one.child.identity()
            one.child.send(signal.SIGKILL)
            await one.ready(2)
            assert one.child.last_exit == "signal SIGKILL"
            assert one.child.restarts == 1
            second = one.child.identity()
            assert first is not None
            assert second is not None
            assert first != second

    asyncio.run(main())


def test_a_process_that_lived_long_is_started_again_after_the_first_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child_module, "_SETTLED", 0.0)

    async def main() -> None:
        async with supervised(CRASHES, tmp_path) as one:
            await until(lambda: len(one.times) == 4)

    asyncio.run(main())
    assert announced_pauses(caplog)[:3] == [0.05, 0.05, 0.05]


def test_a_held_process_stays_dead_until_it_is_released_and_that_is_no_crash(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            one.child.hold(60)
            assert one.child.pid is not None  # holding kills nothing
            one.child.send(signal.SIGKILL)
            await until(lambda: one.child.pid is None)
            await asyncio.sleep(0.3)
            assert len(one.pids) == 1
            one.child.release()
            assert await until(lambda: one.child.pid is not None) < 1
            assert one.child.restarts == 0
            assert one.child.held_until is None

    asyncio.run(main())


def test_a_hold_ends_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            one.child.hold(0.4)
            one.child.send(signal.SIGKILL)
            await until(lambda: len(one.pids) == 2)
            assert one.times[1] - one.times[0] >= 0.3
            assert one.child.held_until is None

    asyncio.run(main())


def test_restart_replaces_the_process_without_a_pause_and_without_counting_a_crash(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            await one.child.restart(5.0)
            await one.ready(2)
            assert one.child.restarts == 0
            assert one.child.last_exit == "signal SIGTERM"
            assert not psutil.pid_exists(one.pids[0])
            one.child.send(signal.SIGKILL)  # the next end is a crash again
            await one.ready(3)
            assert one.child.restarts == 1

    asyncio.run(main())


def test_restart_releases_a_held_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            one.child.hold(60)
            one.child.send(signal.SIGKILL)
            await until(lambda: one.child.pid is None)
            await one.child.restart(1.0)
            await one.ready(2)

    asyncio.run(main())


def test_stop_asks_once_if_that_is_enough_and_the_process_stays_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            started = time.monotonic()
            await one.child.stop(5.0)
            assert time.monotonic() - started < 2
            assert one.child.pid is None
            await asyncio.sleep(0.3)
            assert len(one.pids) == 1

    asyncio.run(main())


def test_stop_asks_a_second_time_after_the_patience(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SECOND_TERM, tmp_path) as one:
            await one.ready()
            started = time.monotonic()
            await one.child.stop(0.3)
            assert 0.3 <= time.monotonic() - started < 2.5
            assert one.log().split() == ["ready", "first", "second"]
            assert one.child.pid is None

    asyncio.run(main())


def test_stop_asks_with_the_signal_of_the_program_and_restart_with_sigterm(tmp_path: Path) -> None:
    async def main() -> None:
        state = StateDir(tmp_path)
        state.create()
        one = Supervised(msgspec.structs.replace(program(TELLS), stop_signal=signal.SIGINT), state)
        one.child.start()
        await one.ready()
        await one.child.restart(5.0)
        await one.ready(2)
        await one.child.stop(5.0)
        assert one.log().split() == ["ready", "SIGTERM", "ready", "SIGINT"]

    asyncio.run(main())


def test_stop_kills_what_will_not_listen(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(DEAF, tmp_path) as one:
            await one.ready()
            await one.child.stop(0.1)
            assert one.child.pid is None
            assert not psutil.pid_exists(one.pids[0])

    asyncio.run(main())


def test_stop_ends_a_child_that_waits_to_be_restarted_or_released(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(CRASHES, tmp_path) as one:
            await until(lambda: one.child.restarts == 2)
            await one.child.stop(1.0)
            count = len(one.times)
            await asyncio.sleep(0.5)
            assert len(one.times) == count

    asyncio.run(main())


def test_a_child_that_never_started_has_no_process_and_can_be_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path, start=False) as one:
            assert one.child.pid is None
            assert one.child.identity() is None
            one.child.send(signal.SIGTERM)

    asyncio.run(main())


def test_what_a_process_prints_is_appended_to_its_log_and_a_large_log_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "_LOG_LIMIT", 20)

    async def main() -> None:
        async with supervised(CRASHES, tmp_path) as one:
            await until(lambda: len(one.times) == 6)
        assert "ready" in (tmp_path / "logs" / "gateway-1.log.old").read_text()

    asyncio.run(main())


def test_a_process_is_out_of_reach_of_the_terminal_s_interrupts(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            assert os.getsid(one.pids[0]) == one.pids[0] != os.getsid(0)

    asyncio.run(main())


def test_a_program_that_cannot_be_started_now_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        state, binary = StateDir(tmp_path), tmp_path / "binary"
        state.create()
        child = Child(Program("redis", "redis", (str(binary),), (), None, ""), state, lambda: None)
        child.start()
        try:
            await asyncio.sleep(0.1)
            binary.write_text("#!/bin/sh\nexec sleep 60\n")
            binary.chmod(0o700)
            await until(lambda: child.pid is not None, 0.8)
        finally:
            await child.stop(1.0)

    asyncio.run(main())
