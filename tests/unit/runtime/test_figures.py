"""`runtime.figures`: what a process knows of itself."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flux_gateway.runtime.figures import ProcessFigures, garbage, stacks, stat


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_memory_is_that_of_this_process() -> None:
    figures = ProcessFigures()
    before = figures.rss()
    block = bytearray(os.urandom(1)) * (64 * 2**20)
    assert figures.rss() - before > 48 * 2**20
    del block


def test_cpu_seconds_grow_with_work() -> None:
    figures = ProcessFigures()
    before = figures.cpu_seconds()
    burn(0.1)
    assert figures.cpu_seconds() - before == pytest.approx(0.1, abs=0.06)


def test_cpu_percent_is_counted_for_each_reader_from_its_last_question() -> None:
    figures = ProcessFigures()
    assert figures.cpu_percent("one") == 0
    burn(0.1)
    assert figures.cpu_percent("two") == 0
    assert 5 < figures.cpu_percent("one") < 150
    time.sleep(0.2)
    assert figures.cpu_percent("one") < 50


def test_garbage_has_three_generations() -> None:
    assert [set(row) for row in garbage()] == [{"collections", "collected", "uncollectable"}] * 3


@contextmanager
def parked_thread() -> Iterator[threading.Thread]:
    event = threading.Event()

    def parked_here() -> None:
        event.wait()

    thread = threading.Thread(target=parked_here)
    thread.start()
    try:
        yield thread
    finally:
        event.set()
        thread.join()


def test_stacks_show_where_every_thread_and_task_stands() -> None:
    async def waits_here() -> None:
        await asyncio.Event().wait()

    async def main() -> dict[str, list[str]]:
        task = asyncio.create_task(waits_here(), name="waiting")
        await asyncio.sleep(0)
        with parked_thread() as thread:
            found = stacks()
            assert any("parked_here" in line for line in found[f"thread {thread.ident}"])
        task.cancel()
        return found

    found = asyncio.run(main())
    assert any("waits_here" in line for line in found["task waiting"])
    assert any("main" in line for line in found[f"thread {threading.get_ident()}"])


def test_a_sample_holds_what_it_was_given_and_counters_since_the_start() -> None:
    sample = stat(1, 2, 3, 0.5, ProcessFigures())
    assert (sample["connections"], sample["messages_in"], sample["messages_out"], sample["lag"]) == (1, 2, 3, 0.5)
    assert sample["time"] == pytest.approx(time.time(), abs=5)
    assert sample["rss"] > 2**20
    assert sample["cpu_seconds"] > 0
    assert len(sample["gc"]) == 3
