"""What drills judge and print: allowances, moves over restarts of proxies, the table and its remarks."""

import asyncio
from typing import Any

import msgspec
import pytest

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.drills import moves, report
from flux_gateway.cli.drills.moves import Moved, MoveWatch
from flux_gateway.cli.drills.witness import NOTHING, Allowance, Phase
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.load.newcomers import NewcomerCounts
from flux_gateway.runtime import admin_client
from tests.unit.load.test_verdict import report as load_report


def phase(title: str = "kill -9 gateway-2", allowed: Allowance = NOTHING, retried: int = 0, **load: Any) -> Phase:
    return Phase(
        title=title, load=load_report(**load), newcomers=NewcomerCounts(served=7, retried=retried),
        moves=Moved(moved=1, reattached=33), allowed=allowed, routed_around=0.25,
    )  # fmt: skip


def test_what_a_phase_has_used_up_is_not_allowed_again() -> None:
    allowed = Allowance(lost=10, closed=2, retried=1)
    assert allowed.after(phase(lost=4, disconnects={1012: 1})) == Allowance(lost=6, closed=1, retried=1)
    assert allowed.after(phase(lost=11, disconnects={1006: 3}, retried=2)) == NOTHING


class ProxyOfOnePlace(Cluster):
    """A cluster with one proxy, whose answers the test gives."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any] | None] = []

    def proxies(self) -> list[ProxyRecord]:
        return [ProxyRecord(id="proxy-1", host="h", port=1, admin_host="h", admin_port=2, state=NodeState.UP)]

    def get(self, host: str, port: int, path: str) -> dict[str, Any]:
        answer = self.answers.pop(0)
        if answer is None:
            raise CommandError("it restarts")
        return answer


def test_moves_are_counted_over_the_restart_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(started_at: float, move: int, reattach: int) -> dict[str, Any]:
        return {"started_at": started_at, "moves": {"move": move, "reattach": reattach, "failed": 0}}

    async def main() -> None:
        cluster = ProxyOfOnePlace()
        monkeypatch.setattr(admin_client, "get", cluster.get)
        monkeypatch.setattr(moves, "_LOOK", 60.0)
        watch = MoveWatch(cluster)
        cluster.answers = [told(100.0, 50, 5), told(100.0, 80, 5), None, told(200.0, 7, 2)]
        await watch.start()
        assert await watch.take() == Moved(moved=30)
        assert await watch.take() == Moved()  # nobody answers: nothing is known to have happened
        assert await watch.take() == Moved(moved=7, reattached=2)
        await watch.stop()

    asyncio.run(main())


def test_the_table_fits_a_terminal_and_explains_what_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    allowed = Allowance(lost=50, closed=1)
    seen = [phase("peace"), phase("4 kill -9 gateway-2", allowed, lost=12, disconnects={1012: 1})]
    assert report.show(seen, as_json=False, brief=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    heads, row = lines[1].split(), lines[3]
    assert heads == ["step", "back", "lost", "dbl", "ord", "closed", "moved", "reatt", "new", "quiet"]
    assert row.split()[-9:] == ["10", "12", "0", "0", "1x1012", "1", "33", "7", "0.00"]
    said = " ".join(" ".join(lines).split())
    assert "The 12 lost messages were inside a process that died or fell silent (at most 50)." in said
    assert "The 1 closed clients had bytes in the process that was killed" in said
    assert "Every invariant held." in said


def test_what_broke_is_said_and_nothing_explained_away(capsys: pytest.CaptureFixture[str]) -> None:
    broken = msgspec.structs.replace(phase("drain gateway-1", lost=3), broken=("3 messages never came back",))
    assert not report.show([broken], as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "broken drain gateway-1: 3 messages never came back" in said
    assert "An invariant broke." in said
    assert "were inside a process" not in said
    assert "around" in said
