"""The clients' port of a cluster on one machine: no restart of a proxy refuses anybody."""

import threading
import time

from tests.cluster import FluxCluster
from tests.integration.gateway.wire import Wire, request


class Newcomers(threading.Thread):
    """Connects again and again, and is served each time."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self.over = threading.Event()
        self.served, self.refused, self.cut = 0, 0, 0
        self.answers: set[int] = set()
        """Statuses other than 101 that it was answered with."""

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with Wire(("127.0.0.1", self._port)) as wire:
                    wire.send(request())
                    status = wire.answer().status
                if status == 101:
                    self.served += 1
                else:
                    self.answers.add(status)
            except ConnectionRefusedError:
                self.refused += 1
            except (ConnectionError, EOFError):  # was in the hands of the process that was killed
                self.cut += 1
            time.sleep(0.02)


def test_nobody_is_refused_while_the_proxy_is_killed_and_while_it_restarts(cluster: FluxCluster) -> None:
    threads = [Newcomers(cluster.port) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        cluster.flux("kill", "proxy-1")
        time.sleep(2)
        cluster.flux("kill", "keeper-1")
        cluster.flux("restart", "proxy-1")
        cluster.flux("restart", "keeper-1")
        time.sleep(0.5)
    finally:
        for thread in threads:
            thread.over.set()
        for thread in threads:
            thread.join(20)
    assert sum(thread.refused for thread in threads) == 0
    assert set().union(*(thread.answers for thread in threads)) == set()
    assert sum(thread.cut for thread in threads) <= 2 * len(threads)
    assert all(thread.served > 20 for thread in threads)
