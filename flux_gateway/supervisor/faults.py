"""Faults for drills: a process that hangs, a node that is cut off. Each heals by itself when its time is over."""

import asyncio
import logging
import os
import shutil
import signal

from flux_gateway.core.errors import CommandError
from flux_gateway.runtime.logging import fields
from flux_gateway.supervisor.child import Child

log = logging.getLogger(__name__)


class Faults:
    """Which faults are in force. Heal them all before the end."""

    def __init__(self) -> None:
        self._active: dict[str, tuple[str, Child, asyncio.TimerHandle]] = {}
        self._healing: set[asyncio.Task[None]] = set()

    def active(self) -> dict[str, str]:
        """Return the fault in force by process name."""
        return {name: kind for name, (kind, _, _) in self._active.items()}

    async def hang(self, child: Child, seconds: float) -> None:
        """Stop the process with SIGSTOP: its sockets stay open, it answers nothing."""
        self._check(child)
        child.send(signal.SIGSTOP)
        self._begin("hang", child, seconds)

    async def partition(self, child: Child, seconds: float) -> None:
        """Drop every packet from and to the process's own loopback address."""
        self._check(child)
        if child.program.kind != "gateway":
            raise CommandError(f"{child.program.name} has no address of its own to cut off; choose a gateway")
        if os.geteuid() != 0 or shutil.which("iptables") is None:
            raise CommandError(
                "a partition needs root and iptables; `hang` shows nearly the same without: "
                f"flux drill hang {child.program.name}"
            )
        await self._rules("-I", child)
        self._begin("partition", child, seconds)

    def _check(self, child: Child) -> None:
        name = child.program.name
        if name in self._active:
            raise CommandError(f"{name} already suffers a {self._active[name][0]}")
        if child.pid is None:
            raise CommandError(f"{name} is not running")

    def _begin(self, kind: str, child: Child, seconds: float) -> None:
        name = child.program.name
        log.warning("fault begins", extra=fields(name=name, kind=kind, seconds=seconds))
        timer = asyncio.get_running_loop().call_later(seconds, self._heal_later, name)
        self._active[name] = (kind, child, timer)

    def _heal_later(self, name: str) -> None:
        task = asyncio.create_task(self.heal(name), name=f"heal {name}")
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)

    async def heal(self, name: str) -> None:
        """End the fault of a process; nothing happens if there is none."""
        kind, child, timer = self._active.pop(name, (None, None, None))
        if kind is None or child is None or timer is None:
            return
        timer.cancel()
        if kind == "hang":
            child.send(signal.SIGCONT)
        else:
            await self._rules("-D", child)
        log.warning("fault healed", extra=fields(name=name, kind=kind))

    async def heal_all(self) -> None:
        """End every fault."""
        await asyncio.gather(*self._healing)
        for name in list(self._active):
            await self.heal(name)

    @staticmethod
    async def _rules(action: str, child: Child) -> None:
        address = child.program.address
        for match in ("-s", "-d"):
            process = await asyncio.create_subprocess_exec(
                "iptables", "-w", action, "INPUT", match, address, "-m", "comment", "--comment",
                f"flux drill {child.program.name}", "-j", "DROP",
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, complaint = await process.communicate()
            if process.returncode:
                raise CommandError(f"iptables refused: {complaint.decode().strip().splitlines()[-1]}")
