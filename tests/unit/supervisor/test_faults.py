"""`supervisor.faults` with a real process: hang, and its healing."""

import asyncio
from pathlib import Path

import psutil
import pytest

from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.faults import Faults
from tests.unit.supervisor.support import SLEEPS, Supervised, program, supervised, until


def state(one: Supervised) -> str:
    return str(psutil.Process(one.pids[-1]).status())


def test_a_hung_process_is_stopped_and_goes_on_when_healed(tmp_path: Path) -> None:
    async def main() -> None:
        faults = Faults()
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            await faults.hang(one.child, 60)
            await until(lambda: state(one) == psutil.STATUS_STOPPED)
            assert faults.active() == {"gateway-1": "hang"}
            await faults.heal("gateway-1")
            await until(lambda: state(one) == psutil.STATUS_SLEEPING)
            assert faults.active() == {}
            assert len(one.pids) == 1

    asyncio.run(main())


def test_a_hang_heals_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        faults = Faults()
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            await faults.hang(one.child, 0.2)
            await until(lambda: state(one) == psutil.STATUS_STOPPED)
            assert await until(lambda: state(one) == psutil.STATUS_SLEEPING) < 2
            assert faults.active() == {}
            await faults.heal_all()

    asyncio.run(main())


def test_an_early_heal_cancels_the_late_one(tmp_path: Path) -> None:
    async def main() -> None:
        faults = Faults()
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            await faults.hang(one.child, 0.3)
            await faults.heal("gateway-1")
            await faults.hang(one.child, 60)
            await asyncio.sleep(0.5)
            assert faults.active() == {"gateway-1": "hang"}
            await faults.heal_all()
            assert faults.active() == {}
            await until(lambda: state(one) == psutil.STATUS_SLEEPING)

    asyncio.run(main())


def test_one_fault_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        faults = Faults()
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            await faults.hang(one.child, 60)
            with pytest.raises(CommandError, match="already suffers a hang"):
                await faults.hang(one.child, 60)
            await faults.heal_all()

    asyncio.run(main())


def test_a_process_that_does_not_run_cannot_hang(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path, start=False) as one:
            with pytest.raises(CommandError, match="not running"):
                await Faults().hang(one.child, 1)

    asyncio.run(main())


def test_only_gateways_can_be_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(SLEEPS, tmp_path, start=False) as one:
            one.child.program = program(SLEEPS, "dashboard", "dashboard")
            one.child.start()
            await until(lambda: one.child.pid is not None)
            with pytest.raises(CommandError, match="choose a gateway"):
                await Faults().partition(one.child, 1)

    asyncio.run(main())


def test_without_root_a_partition_says_what_shows_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    async def main() -> None:
        async with supervised(SLEEPS, tmp_path) as one:
            await one.ready()
            with pytest.raises(CommandError, match="flux drill hang gateway-1"):
                await Faults().partition(one.child, 1)

    asyncio.run(main())


def test_healing_what_suffers_nothing_does_nothing() -> None:
    asyncio.run(Faults().heal("gateway-1"))
