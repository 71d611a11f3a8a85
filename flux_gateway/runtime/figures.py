"""Figures of the own process: memory, CPU, garbage collection, stacks."""

import asyncio
import contextlib
import gc
import sys
import time
import traceback
from typing import Any

import psutil


class ProcessFigures:
    """Resident memory and CPU of this process; CPU percent is counted between two calls of the same reader."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._rss = 0
        self._cpu = 0.0
        self._last: dict[str, tuple[float, float]] = {}

    def rss(self) -> int:
        """Return the resident set size in bytes."""
        with contextlib.suppress(OSError):  # out of files: the last figure stands
            self._rss = int(self._process.memory_info().rss)
        return self._rss

    def cpu_seconds(self) -> float:
        """Return user plus system time since the start of the process."""
        with contextlib.suppress(OSError):
            times = self._process.cpu_times()
            self._cpu = float(times.user + times.system)
        return self._cpu

    def cpu_percent(self, reader: str) -> float:
        """Return percent of one core since this reader asked last; 0 the first time."""
        now, used = time.monotonic(), self.cpu_seconds()
        before, used_before = self._last.get(reader, (now, used))
        self._last[reader] = (now, used)
        return 100 * (used - used_before) / (now - before) if now > before else 0.0


def garbage() -> list[dict[str, int]]:
    """Return the counters of the three generations: collections, collected, uncollectable."""
    return gc.get_stats()


def stacks() -> dict[str, list[str]]:
    """Return the stack of every thread and every asyncio task of the running loop, outermost call first."""
    found: dict[str, list[str]] = {}
    for thread_id, frame in sys._current_frames().items():
        found[f"thread {thread_id}"] = [line.rstrip() for line in traceback.format_stack(frame)]
    for task in asyncio.all_tasks():
        lines: list[str] = []
        for frame in task.get_stack(limit=20):
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}')
        found[f"task {task.get_name()}"] = lines
    return found


def stat(connections: int, messages_in: int, messages_out: int, lag: float, figures: ProcessFigures) -> dict[str, Any]:
    """Return one sample for `flux stat`: counters since start, so that the reader takes differences."""
    return {
        "time": time.time(),
        "gc": garbage(),
        "rss": figures.rss(),
        "cpu_seconds": figures.cpu_seconds(),
        "connections": connections,
        "messages_in": messages_in,
        "messages_out": messages_out,
        "lag": lag,
    }
