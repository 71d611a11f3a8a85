"""`flux load` as a process: exit status, output, messages."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from tests.unit.load.driving import Run, echo
from tests.unit.load.servers import number_of, serving

pytestmark = pytest.mark.parametrize("run", ["asyncio"], indirect=True)


async def begin(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flux_gateway", "load", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def end(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Return (exit status, standard output, standard error)."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_json_has_every_figure_and_nothing_else_is_printed(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            arguments = ("--clients", "5", "--rate", "50", "--duration", "0.5", "--json", "--prefix", "p")
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (0, "")
        result = json.loads(out)
        assert result["clean"] is True
        assert result["plan"]["clients"] == 5
        counts = result["report"]["counts"]
        assert counts["sent"] == counts["received"] > 100
        assert counts["ended"] == {"1000": 5}
        assert set(result["report"]["latency"]) == {"p50", "p90", "p99", "p999", "max"}
        assert sorted(server.paths)[0] == "/echo?session=p-0"

    run(main)


def test_the_table_tells_and_a_lost_message_is_status_1(run: Run) -> None:
    async def main() -> None:
        async def drop_third(connection: ServerConnection) -> None:
            async for message in connection:
                if number_of(message) != 3:
                    await connection.send(message)

        async with serving(drop_third) as server:
            arguments = ("--clients", "2", "--rate", "50", "--duration", "0.5")
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (1, "")
        rows = [line.split("│") for line in out.splitlines() if line.count("│") == 3]
        figures = {row[1].strip(): row[2].strip() for row in rows}
        assert figures["lost"] == "2"
        assert figures["doubled"] == "0"
        assert figures["connections opened"] == "2"

    run(main)


def test_an_interrupt_ends_early_and_reports(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            process = await begin("--url", server.url, "--clients", "2", "--rate", "50", "--duration", "600", "--json")
            async with asyncio.timeout(20):
                while len(server.paths) < 2:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGINT)
            status, out, err = await end(process)
        assert (status, err) == (0, "")
        assert json.loads(out)["report"]["counts"]["received"] > 0

    run(main)


def test_a_url_that_cannot_be_reached_is_one_line(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            url = server.url  # nobody listens there from here on
        status, out, err = await end(await begin("--url", url, "--clients", "2", "--duration", "30"))
        assert (status, out) == (1, "")
        assert err.startswith(f"flux: {url} is not reachable: refused ")
        assert err.count("\n") == 1

    run(main)


async def whoami(connection: ServerConnection) -> None:
    """Echo, and tell `/whoami` who serves."""
    assert connection.request is not None
    async for message in connection:
        told = '{"node": "gateway-7"}' if connection.request.path.startswith("/whoami") else message
        await connection.send(told)


async def close_third(connection: ServerConnection) -> None:
    """Echo, but close at message number 3; a client that comes back is served: its numbers go on."""
    async for message in connection:
        if number_of(message) == 3:
            await connection.close(1012)
            return
        await connection.send(message)


def verdict(out: str) -> list[str]:
    """Return what stands below the table."""
    return out[out.rindex("┘") + 1 :].strip().splitlines()


def test_newcomers_are_counted_and_shown(run: Run) -> None:
    async def main() -> None:
        async with serving(whoami) as server:
            arguments = ("--clients", "2", "--duration", "1", "--newcomers", "20", "--newcomer-retries", "1")
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (0, "")
        assert verdict(out) == ["Every invariant held."]
        row = next(line for line in out.splitlines() if "new clients by node" in line)
        assert 15 <= int(row.split("gateway-7 ")[1].split()[0]) <= 25

    run(main)


def test_a_newcomer_that_is_not_served_is_status_1(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server:  # what comes back is no answer of /whoami
            arguments = ("--clients", "2", "--duration", "1", "--newcomers", "5")
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (1, "")
        first, second = verdict(out)
        assert first.startswith("broken  ")
        assert "new clients were not served: no answer of /whoami " in first
        assert second == "broken  no new client was served"

    run(main)


@pytest.mark.parametrize(("codes", "expected"), [(None, 0), ("1012", 0), ("1006,1012", 0), ("1006", 1), ("none", 1)])
def test_a_close_code_that_is_not_expected_is_status_1(run: Run, codes: str | None, expected: int) -> None:
    async def main() -> None:
        async with serving(close_third) as server:
            arguments = ["--clients", "2", "--rate", "20", "--duration", "1"]
            arguments += ["--expect", codes] if codes else []
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (expected, "")
        told = f"broken  2 clients were closed with 1012; expected: {codes}"
        assert verdict(out) == ([told] if expected else ["Every invariant held."])

    run(main)


@pytest.mark.parametrize(("seconds", "expected"), [("5", 0), ("0.01", 1)])
def test_who_is_away_for_too_long_is_status_1(run: Run, seconds: str, expected: int) -> None:
    async def main() -> None:
        async with serving(close_third) as server:
            server.delay = lambda index: 0.2 if index >= 2 else 0.0
            arguments = ("--clients", "2", "--rate", "20", "--duration", "1.5", "--return-within", seconds, "--json")
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (expected, "")
        result = json.loads(out)
        assert 0.2 <= result["report"]["slowest_return"] < 2
        assert result["report"]["absent"] == 0
        assert len(result["broken"]) == expected

    run(main)


def test_the_report_file_is_the_json_beside_the_table(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        file = tmp_path / "report.json"
        async with serving(echo) as server:
            arguments = ("--clients", "2", "--duration", "0.5", "--report", str(file))
            status, out, err = await end(await begin("--url", server.url, *arguments))
        assert (status, err) == (0, "")
        assert verdict(out) == ["Every invariant held."]
        assert file.stat().st_mode & 0o777 == 0o644
        assert os.listdir(tmp_path) == ["report.json"]
        written = json.loads(file.read_text())
        assert (written["ok"], written["broken"], written["newcomers"]) == (True, [], None)
        assert written["report"]["counts"]["received"] == written["report"]["counts"]["sent"]

    run(main)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--url", "http://127.0.0.1/"), "not a WebSocket URL"),
        (("--url", "ws://127.0.0.1/", "--size", "3"), "size: 16 to"),
        (("--url", "ws://127.0.0.1/", "--clients", "0"), "--clients"),
        (("--url", "ws://127.0.0.1/", "--clients", "99999999"), "file descriptors"),
        (("--url", "ws://127.0.0.1/", "--source", "here"), "here"),
        (("--url", "ws://127.0.0.1/", "--rate", "-1"), "rate: 0 or more"),
        (("--url", "ws://127.0.0.1/", "--expect", "1012,x"), "close codes from 1000 to 4999"),
        (("--url", "ws://127.0.0.1/", "--expect", "12"), "close codes from 1000 to 4999"),
        (("--url", "ws://127.0.0.1/", "--return-within", "1", "--no-reconnect"), "give one"),
        (("--url", "ws://127.0.0.1/", "--report", "/nowhere/report.json"), "/nowhere is not a directory"),
        (("--url", "ws://127.0.0.1/", "--newcomers", "-1"), "--newcomers"),
    ],
)
def test_wrong_usage_is_status_2(run: Run, arguments: tuple[str, ...], text: str) -> None:
    async def main() -> None:
        status, out, err = await end(await begin(*arguments))
        assert (status, out) == (2, "")
        assert text in err
        assert "Traceback" not in err

    run(main)
