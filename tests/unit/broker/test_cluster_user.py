"""What docs/operations.md allows the user of a Redis Cluster is enough."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.cluster import Cluster
from flux_gateway.registry.connect import RedisSettings, dialler
from tests.unit.broker.cluster_servers import ClusterServers, move_begins, move_ends, move_keys
from tests.unit.broker.redis_versions import SEVEN
from tests.unit.broker.sharded import CHANNELS, INFO, ends_of_a_move, slot_of
from tests.unit.broker.support import Heard, publish, run, stored
from tests.unit.registry.server import HOST
from tests.unit.registry.support import until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    with ClusterServers(tmp_path_factory.mktemp("user"), SEVEN) as made:
        yield made


def commands() -> list[str]:
    """Return the commands that the manual gives the user of a cluster."""
    variables = yaml.safe_load((ROOT / "roles/redis/vars/main.yml").read_text())
    mine = variables["_redis_flux_commands"].replace("{{ _redis_client_commands }}", "+ping +client|setname")
    (further,) = (
        line for line in (ROOT / "docs/operations.md").read_text().splitlines() if line.startswith("+asking ")
    )
    return [*mine.split(), *further.split()]


def test_the_user_of_the_manual_is_allowed_enough(servers: ClusterServers, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("secret\n")
    rules = ("on", ">secret", "~gateway:*", "resetchannels", "&gateway:*", "-@all", *commands())
    for one in servers.masters:
        one.ask("ACL", "SETUSER", "flux", "reset", *rules)
    settings = RedisSettings(username="flux", password_file=str(password_file))
    cluster = Cluster([(HOST, servers.masters[0].port)], dialler(settings))

    async def main() -> None:
        made = Broker(cluster, timeout=2.0, node_id="gateway-1")
        gaps: list[str] = []
        made.on_gap = gaps.extend
        slot = slot_of("allowed")
        source, target = ends_of_a_move(servers, "allowed")
        try:
            await made.start()
            assert made.available
            heard = Heard(made)
            await asyncio.gather(*(made.subscribe(channel) for channel in ("allowed", *CHANNELS)))
            await publish(made, "allowed", "x", idempotency_key="key", version=1)
            await made.join("allowed", INFO)
            await made.add_presence("allowed", INFO, 60)
            assert await made.tell(b"all") == 1
            assert await made.save_record("allowed", 1, b"record", 60)
            assert await made.claim_connection("ann", "client", 3, 60)
            assert len(await stored(made, "allowed")) == 1
            made.unsubscribe(CHANNELS[0])
            move_begins(slot, source, target)
            move_keys(slot, source, target)
            await publish(made, "allowed", "y")
            move_ends(slot, servers, source, target)
            await until(lambda: gaps == ["allowed"])
            await publish(made, "allowed", "z")
            await until(lambda: heard.data("allowed") == [b"x", b"z"])
            assert heard.changes == []
        finally:
            await made.close()
            move_begins(slot, target, source)
            move_keys(slot, target, source)
            move_ends(slot, servers, target, source)

    run(main())
