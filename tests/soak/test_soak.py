"""The soak's short form. The long one: ./test.sh --soak."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.cluster import start
from tests.soak import soak


@pytest.mark.timeout(300)
def test_a_minute_of_events_costs_nobody_anything(tmp_path: Path) -> None:
    seed = int(os.environ.get("FLUX_SOAK_SEED", "0")) or random.randrange(1, 10**6)
    cluster = start(tmp_path / "s", "--heartbeat-interval", "1", "--drain-timeout", "20", network=57)
    try:
        outcome = asyncio.run(soak.run(cluster, 60, 1000, seed))
    finally:
        cluster.flux("down", "--drain", "1", check=False)
    assert outcome.faults == [], f"seed {seed}"
    assert outcome.events >= 9, "every kind came up"
    assert outcome.received > 30_000
