"""`supervisor.readiness` of a keeper: it is asked without being disturbed."""

import asyncio
import signal
from pathlib import Path

import pytest

from flux_gateway.supervisor import readiness
from flux_gateway.supervisor.topology import Program
from tests.unit.keeper.support import SECONDS, client, keeper


def test_a_keeper_is_ready_when_it_answers_and_its_proxy_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_PATIENCE", 0.3)

    async def main() -> None:
        with keeper(tmp_path) as process:
            program = Program("keeper-1", "keeper", (), (), None, "", socket=str(process.path))
            await process.ready()
            async with client(process.path) as one:
                assert await one.take(SECONDS) == []
                assert await readiness.ready(program, "")
                assert one.connected
                process.send(signal.SIGSTOP)
                assert not await readiness.ready(program, "")
                process.send(signal.SIGCONT)
                assert await readiness.ready(program, "")
            process.end()
            assert not await readiness.ready(program, "")

    asyncio.run(main())
