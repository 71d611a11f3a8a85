"""The long soak: `python -m tests.soak --seconds 600 --clients 1000 --seed 7`. Exit status 1 when anything broke."""

import asyncio
import random
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from tests.cluster import start
from tests.soak import soak


def main() -> int:
    """Start a cluster, soak it, stop it; after a fault its logs stay."""
    parser = ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="that of an earlier run, to have the same events")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flux-soak-"))
    cluster = start(folder / "s", "--heartbeat-interval", "1", "--drain-timeout", "20", network=58)
    try:
        seed = given.seed or random.randrange(1, 10**6)
        outcome = asyncio.run(soak.run(cluster, given.seconds, given.clients, seed))
    finally:
        cluster.flux("down", "--drain", "1", check=False)
    print(
        f"{outcome.events} events, {outcome.received:,} messages; explained by kills and hangs: "
        f"{outcome.disconnects} disconnects, {outcome.lost} messages lost"
    )
    if outcome.faults:
        print("\n".join(["", f"{len(outcome.faults)} faults, seed {outcome.seed}, logs in {folder}:", *outcome.faults]))
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
