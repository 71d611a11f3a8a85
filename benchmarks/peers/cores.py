"""Which processor core runs what: the measured server alone on one, everything else on the others."""

import os

import psutil

ALL = sorted(os.sched_getaffinity(0))

MEASURED = ALL[:1]
"""The core of the process whose processor time is measured."""

OTHERS = ALL[1:] or ALL
"""The cores of the load, the backend and Redis."""


def pin(pid: int, cores: list[int]) -> None:
    """Keep a process, and what it starts later, on these cores."""
    psutil.Process(pid).cpu_affinity(cores)
