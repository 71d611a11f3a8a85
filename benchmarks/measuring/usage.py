"""What a process has used: processor time and resident memory."""

from pathlib import Path

import psutil


def cpu_seconds(pid: int) -> float:
    """Return user plus system time of a process since its start, all threads.

    From the scheduler's own account where the kernel keeps one (nanoseconds), else from the clock ticks (10 ms).
    """
    total = 0
    try:
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(file.read_text().split()[0])
    except OSError:
        total = 0
    if total:
        return total * 1e-9
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss(pid: int) -> int:
    """Return the resident memory of a process in bytes. What the kernel holds for its sockets is not in it."""
    return int(psutil.Process(pid).memory_info().rss)
