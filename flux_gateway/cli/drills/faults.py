"""Faults that last for a while: how each begins and ends, and what clients may lose by it."""

from collections.abc import Callable

import msgspec

from flux_gateway.cli.local import LocalCluster


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault of a node. `begin` and `end` are blocking and are called with cluster, node and seconds."""

    kind: str
    text: str
    begin: Callable[[LocalCluster, str, float], object]
    end: Callable[[LocalCluster, str, float], object]
    silence: float = 0.0
    """Seconds of their messages that the node's clients may lose: what they send from its last answer until another
    node has their sessions. 0: it is planned, and nothing may be lost."""

    @property
    def sudden(self) -> bool:
        """Whether the node gets no time to hand its sessions over."""
        return self.silence > 0


# A fault outlasts the drill by this much if the command is killed; then it heals by itself.
_MARGIN = 30.0

FAULTS: dict[str, Fault] = {
    fault.kind: fault
    for fault in (
        Fault(
            "drain",
            "its sessions move to the other nodes",
            lambda cluster, node, seconds: cluster.post(node, f"/drain?seconds={seconds:g}"),
            lambda cluster, node, seconds: cluster.post(node, "/undrain"),
        ),
        Fault(
            "kill",
            "SIGKILL, and it stays dead for a while",
            lambda cluster, node, seconds: cluster.ask("kill", name=node, hold=True, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("release", name=node),
            # The end of its sockets tells at once; what had been read, or waited in them, is gone.
            silence=0.5,
        ),
        Fault(
            "hang",
            "SIGSTOP: its sockets stay open, it answers nothing",
            lambda cluster, node, seconds: cluster.ask("hang", name=node, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("heal", name=node),
            silence=3.5,
        ),
        Fault(
            "partition",
            "iptables drops every packet from and to its address",
            lambda cluster, node, seconds: cluster.ask("partition", name=node, seconds=seconds + _MARGIN),
            lambda cluster, node, seconds: cluster.ask("heal", name=node),
            silence=3.5,
        ),
    )
}
