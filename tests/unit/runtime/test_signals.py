"""`runtime.signals`: the first signal asks to drain, the second to end at once."""

import asyncio
import os
import signal

import pytest

from flux_gateway.runtime.signals import StopSignals, wait_for


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_to_drain_and_the_second_to_end_at_once(
    first: signal.Signals, second: signal.Signals
) -> None:
    async def main() -> None:
        signals = StopSignals()
        seen: list[tuple[bool, bool]] = []
        for number in (first, second):
            os.kill(os.getpid(), number)
            await asyncio.wait_for((signals.now if seen else signals.drain).wait(), 5)
            seen.append((signals.drain.is_set(), signals.now.is_set()))
        assert seen == [(True, False), (True, True)]

    asyncio.run(main())


def test_waiting_ends_with_the_event() -> None:
    async def main() -> None:
        event = asyncio.Event()
        forever = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(event.set)
        await asyncio.wait_for(wait_for(event, forever), 5)
        assert not forever.done()
        forever.cancel()

    asyncio.run(main())


def test_waiting_ends_with_a_task_and_raises_what_it_raised() -> None:
    async def fails() -> None:
        raise RuntimeError("boom")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="boom"):
            await asyncio.wait_for(wait_for(asyncio.Event(), asyncio.create_task(fails())), 5)

    asyncio.run(main())
