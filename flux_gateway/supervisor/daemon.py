"""`flux supervisor`: runs every process of a cluster on one machine, and carries out what commands ask."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time

import msgspec

from flux_gateway.core.errors import CommandError, FluxError
from flux_gateway.runtime import tcp
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.ports import taken
from flux_gateway.runtime.signals import StopSignals, wait_for
from flux_gateway.supervisor import topology
from flux_gateway.supervisor.child import Child
from flux_gateway.supervisor.faults import Faults
from flux_gateway.supervisor.protocol import Answer, ProcessStatus, Request
from flux_gateway.supervisor.readiness import ready
from flux_gateway.supervisor.settings import ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds clients get to leave when everything stops."""

_REDIS_FIRST = 2.0
"""Seconds to wait for Redis before the others start anyway: they keep trying."""


class Supervisor:
    """Owns the children, the faults and the control socket."""

    def __init__(self, settings: ClusterSettings, state: StateDir) -> None:
        self._settings, self._state = settings, state
        self._password = state.redis_password.read_text().strip()
        self._children: dict[str, Child] = {}
        self._faults = Faults()
        self._restarts: set[asyncio.Task[None]] = set()
        self._patience = _PATIENCE
        self._complete = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start everything, serve until SIGTERM or a `stop` request, then stop everything in order."""
        signals = StopSignals()
        server = await asyncio.start_unix_server(self._serve, path=str(self._state.socket))
        os.chmod(self._state.socket, 0o600)
        stop = asyncio.create_task(_wait(self._stop), name="stop")
        try:
            programs = topology.programs(self._settings, self._state)
            redis = self._add(programs[0])
            await self._until_ready(redis, _REDIS_FIRST)
            for program in programs[1:]:
                self._add(program)
            self._complete = True
            await wait_for(signals.drain, stop)
        finally:
            stop.cancel()
            await self._stop_all()
            server.close()
            with contextlib.suppress(FileNotFoundError):
                self._state.socket.unlink()
            self._state.processes.unlink(missing_ok=True)

    def _add(self, program: topology.Program) -> Child:
        sockets = [self._opened(program, *address) for address in program.opened]
        child = self._children[program.name] = Child(program, self._state, self._note_processes, sockets)
        child.start()
        return child

    def _opened(self, program: topology.Program, host: str, port: int) -> socket.socket:
        try:
            return tcp.listener(host, port, self._settings.backlog, shared=True)
        except OSError as error:
            raise CommandError(taken(f"{program.name} (clients)", host, port)) from error

    async def _until_ready(self, child: Child, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await ready(child.program, self._password):  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(0.02)

    async def _stop_all(self) -> None:
        """Dashboard, proxies, keepers, gateways, Redis: each group at once, the groups one after another."""
        for child in self._children.values():
            child.close_sockets()  # whoever comes now would wait for a proxy that never comes back
        await self._faults.heal_all()
        for restart in self._restarts:
            restart.cancel()
        for kind in ("dashboard", "proxy", "keeper", "gateway", "redis"):
            group = [child for child in self._children.values() if child.program.kind == kind]
            await asyncio.gather(*(child.stop(self._patience) for child in group))
        log.info("everything stopped")

    def _note_processes(self) -> None:
        """Keep on disk which processes are ours, for `flux down` to find if this process should die."""
        identities = [child.identity() for child in self._children.values()]
        self._state.write_private(
            self._state.processes, msgspec.json.encode([one for one in identities if one]).decode()
        )

    # The control socket.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), 5.0)
            answer = await self._carry_out(msgspec.json.decode(line, type=Request))
        except FluxError as error:
            answer = Answer(error=str(error))
        except (msgspec.DecodeError, TimeoutError) as error:
            answer = Answer(error=f"not a request: {error}")
        try:
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        except ConnectionError:
            log.debug("the asker did not wait for the answer")
        finally:
            writer.close()

    async def _carry_out(self, request: Request) -> Answer:
        if request.op == "status":
            return await self._status()
        if request.op == "stop":
            self._patience = request.seconds
            self._stop.set()
            return Answer(pid=os.getpid())
        if request.op == "scale":
            note = await self._scale(request.count)
        else:
            note = await self._act(request, self._named(request.name))
        return Answer(note=note)

    def _named(self, name: str) -> Child:
        child = self._children.get(name)
        if child is None:
            raise CommandError(f"there is no process {name!r}; there are {', '.join(self._children)}")
        return child

    async def _act(self, request: Request, child: Child) -> str:
        name = child.program.name
        match request.op:
            case "hang":
                await self._faults.hang(child, request.seconds)
            case "partition":
                await self._faults.partition(child, request.seconds)
            case "heal":
                await self._faults.heal(name)
            case "kill":
                await self._faults.heal(name)
                if request.hold:
                    child.hold(request.seconds)
                child.send(signal.SIGKILL)
            case "release":
                child.release()
            case "restart":
                await self._faults.heal(name)
                restart = asyncio.create_task(child.restart(request.seconds), name=f"restart {name}")
                self._restarts.add(restart)
                restart.add_done_callback(self._restarted)
            case _:
                raise CommandError(f"unknown request {request.op!r}")
        return name

    def _restarted(self, task: "asyncio.Task[None]") -> None:
        self._restarts.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("failed", exc_info=task.exception(), extra=fields(task=task.get_name()))

    async def _scale(self, wanted: int) -> str:
        if not 1 <= wanted <= 200:
            raise CommandError(f"{wanted} gateways: choose between 1 and 200")
        present = [child for child in self._children.values() if child.program.kind == "gateway"]
        for number in range(len(present) + 1, wanted + 1):
            self._add(topology.gateway(number, self._settings, self._state))
        surplus = present[wanted:]
        for child in surplus:
            del self._children[child.program.name]
        await asyncio.gather(*(child.stop(self._settings.drain_timeout + 5) for child in surplus))
        return f"{len(present)} -> {wanted}"

    async def _status(self) -> Answer:
        children = list(self._children.values())
        answers = await asyncio.gather(*(ready(child.program, self._password) for child in children))
        faults, now = self._faults.active(), time.monotonic()
        processes = [
            ProcessStatus(
                name=child.program.name,
                kind=child.program.kind,
                pid=child.pid,
                restarts=child.restarts,
                last_exit=child.last_exit,
                uptime=now - child.started_at if child.pid else 0.0,
                held=child.held_until is not None,
                fault=faults.get(child.program.name, ""),
                address=child.program.address,
                ready=is_ready,
            )
            for child, is_ready in zip(children, answers, strict=True)
        ]
        return Answer(pid=os.getpid(), processes=processes, ready=self._complete and all(answers))


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def run(settings: ClusterSettings, state: StateDir) -> None:
    """Run the supervisor until it is asked to stop."""
    await Supervisor(settings, state).run()
