"""The machine and the programs a run was made with."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.peers import cores, haproxy, nchan, ws
from flux_gateway.core.errors import CommandError

_LOOK = 2.0
"""Seconds."""


def facts() -> dict[str, str]:
    """Return what to know about a run's surroundings."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "processor": f"{model}, {psutil.cpu_count()} cores; measured on {cores.MEASURED}, the rest on {cores.OTHERS}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "websockets": version("websockets"),
        "haproxy": haproxy.version(),
        "nchan": _version(nchan.version),
        "ws": _version(ws.version),
        "load average before": load,
        "used by others before": busy(),
    }


def _version(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except CommandError:
        return "not installed"


def busy() -> str:
    """Return how much of the cores is in use while nothing is measured: the noise of the machine."""
    used = psutil.cpu_percent(_LOOK) / 100 * (psutil.cpu_count() or 1)
    return f"{used:.1f} of {psutil.cpu_count()} cores"
