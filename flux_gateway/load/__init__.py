"""The load generator: numbered messages over many connections, and an account of what clients saw.

    plan (what to do) -> engine (clock, dialling, sending) -> client (one connection) -> frames, handshake, ledger
    pace (when), counts (what came of it), newcomers (new clients beside it), verdict (what of it must not be)

In another asyncio program: `load = Load(LoadPlan(...)); await load.start(); ...; report = await load.stop()`.
"""

from flux_gateway.load.counts import Counts, Report
from flux_gateway.load.engine import Load
from flux_gateway.load.plan import LoadPlan

__all__ = ["Counts", "Load", "LoadPlan", "Report"]
