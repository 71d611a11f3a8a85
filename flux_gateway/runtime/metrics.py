"""Counts by label, as Prometheus wants them."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily

Key = TypeVar("Key", str, tuple[str, str])


def counted(name: str, text: str, labels: Sequence[str], counts: Mapping[Key, float]) -> CounterMetricFamily:
    """Return a counter with a sample for each key: the value of the one label, or the values of both."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, count in counts.items():
        family.add_metric((key,) if isinstance(key, str) else key, count)
    return family
