"""What a running dashboard is made of."""

from dataclasses import dataclass
from typing import cast

from flask import Flask

from flux_gateway.dashboard.access import Access
from flux_gateway.dashboard.board import Board
from flux_gateway.dashboard.collector import Collector
from flux_gateway.dashboard.history import Histories
from flux_gateway.dashboard.shares import ShareCounter
from flux_gateway.dashboard.stream import StreamBudget


@dataclass(frozen=True)
class Parts:
    """The parts the views work with. Made by `create_app`, which starts their threads."""

    board: Board
    collector: Collector
    histories: Histories
    shares: ShareCounter
    access: Access
    streams: StreamBudget

    def close(self) -> None:
        """End open streams and stop the threads."""
        self.board.close()
        self.collector.close()
        self.shares.close()


def parts(app: Flask) -> Parts:
    """Return the parts of an app that `create_app` made."""
    return cast(Parts, app.extensions["flux"])
