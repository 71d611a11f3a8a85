"""`flux keeper`: holds a proxy's connections while the proxy is replaced. It does as little as possible, to last."""

import asyncio
import fcntl
import logging
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flux_gateway.core.errors import CommandError
from flux_gateway.keeper import protocol
from flux_gateway.keeper.protocol import Answer, Count, Counted, Deposit, Done, End, Forget, HandOver, Take, Withdraw
from flux_gateway.keeper.settings import KeeperSettings
from flux_gateway.keeper.store import Store
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.notify import Notifier
from flux_gateway.runtime.signals import StopSignals

log = logging.getLogger(__name__)

_BACKLOG = 16
_SPARE_FILES = 64
"""Open files kept back: when all others are used up, the next proxy must be able to come and take over."""

_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid: struct ucred, unix(7)."""


class _Visitor:
    """One connection to the keeper."""

    def __init__(self, number: int, sock: socket.socket, pid: int) -> None:
        self.number, self.sock, self.pid = number, sock, pid
        self.giving: Iterator[tuple[Answer, list[int]]] = iter(())
        self.begun = False
        """Whether it is in the middle of taking."""


class KeeperDaemon:
    """The socket, its visitors, and the one of them that is the proxy."""

    def __init__(self, settings: KeeperSettings) -> None:
        self._path = Path(settings.socket)
        self._store = Store((_files() - _SPARE_FILES) // 2)
        self._loop = asyncio.get_running_loop()
        self._notifier = Notifier(lambda: f"{len(self._store)} connections kept")
        self._visitors: set[_Visitor] = set()
        self._seen = 0
        self._proxy: _Visitor | None = None
        self._patience = settings.patience
        self._giving_up: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Keep until SIGTERM or SIGINT. Then everything kept is closed, unless its proxy holds it too."""
        signals = StopSignals()
        lock = _lock(self._path)
        try:
            with _listener(self._path) as listener:
                self._loop.add_reader(listener, self._accept, listener)
                self._notifier.ready()
                log.info("keeping", extra=fields(socket=self._path))
                await signals.drain.wait()
                self._notifier.stopping()
                log.info("ending", extra=fields(connections=len(self._store)))
                self._loop.remove_reader(listener)
                self._path.unlink(missing_ok=True)
        finally:
            for visitor in list(self._visitors):
                self._leave(visitor)
            self._wait_no_more()
            self._store.clear()
            self._notifier.close()
            os.close(lock)

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        pid, uid, _ = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid not in (0, os.geteuid()):
            log.warning("a stranger was turned away", extra=fields(pid=pid, uid=uid))
            sock.close()
            return
        sock.setblocking(False)
        self._seen += 1
        visitor = _Visitor(self._seen, sock, pid)
        self._visitors.add(visitor)
        self._loop.add_reader(sock, self._read, visitor)

    def _read(self, visitor: _Visitor) -> None:
        try:
            data, descriptors = protocol.receive(visitor.sock)
        except BlockingIOError:
            return
        except OSError as error:
            self._give_up(visitor, error)
            return
        unused = descriptors
        try:
            request = protocol.decode_request(data) if data else None
            if request is None:
                self._leave(visitor)
            elif isinstance(request, Count):
                protocol.send(visitor.sock, Counted(len(self._store)))
            elif self._is_proxy(visitor):
                if isinstance(request, Deposit):
                    unused = []
                protocol.send(visitor.sock, *self._carry_out(visitor, request, descriptors))
        except (OSError, msgspec.DecodeError) as error:
            self._give_up(visitor, error)
        finally:
            protocol.close(unused)

    def _is_proxy(self, visitor: _Visitor) -> bool:
        """Make the visitor the proxy, unless that is one who came after it. The other one is told and let go."""
        older = self._proxy
        if older is visitor:
            return True
        if older is not None and older.number > visitor.number:
            self._leave(visitor, protocol.Replaced())
            return False
        self._proxy = visitor
        self._wait_no_more()
        log.info("a proxy came", extra=fields(pid=visitor.pid, connections=len(self._store)))
        if older is not None:
            self._leave(older, protocol.Replaced())
        return True

    def _carry_out(
        self, visitor: _Visitor, request: Deposit | Withdraw | HandOver | Take | Forget, descriptors: list[int]
    ) -> tuple[Answer, list[int]]:
        match request:
            case Deposit():
                lost = self._store.deposit(request.entries, descriptors)
                if lost:
                    log.error("out of files: not kept", extra=fields(connections=lost, kept=len(self._store)))
            case Withdraw():
                self._store.withdraw(request.keys)
            case HandOver():
                self._store.hand_over(request.pieces)
            case Forget():
                self._store.clear()
            case Take():
                if not visitor.begun:
                    visitor.giving, visitor.begun = self._store.hand_back(), True
                given = next(visitor.giving, None)
                if given is not None:
                    return given
                visitor.begun = False
                return End(), []
        return Done(), []

    def _nobody_came(self) -> None:
        """Let go of what nobody serves: its clients would wait for an answer for as long as they have patience."""
        if len(self._store):
            log.warning("no proxy came for them, closed", extra=fields(connections=len(self._store)))
            self._store.clear()

    def _wait_no_more(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()

    def _give_up(self, visitor: _Visitor, error: Exception) -> None:
        log.warning("connection given up: %s", error, extra=fields(pid=visitor.pid))
        self._leave(visitor)

    def _leave(self, visitor: _Visitor, word: Answer | None = None) -> None:
        if visitor is self._proxy:
            self._proxy = None
            log.info("the proxy left", extra=fields(pid=visitor.pid, connections=len(self._store)))
            self._giving_up = self._loop.call_later(self._patience, self._nobody_came)
        self._visitors.discard(visitor)
        self._loop.remove_reader(visitor.sock)
        if word is not None:
            try:
                protocol.send(visitor.sock, word)
            except OSError as error:
                log.debug("gone already: %s", error)
        visitor.sock.close()


def _files() -> int:
    """Allow this process as many open files as it may have, and return how many. A proxy's pairs are all kept here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _lock(path: Path) -> int:
    """Take the place of the only keeper at this path, and return what holds it. Raises `CommandError`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.parent.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise CommandError(
                f"{path.parent} is open to other users, and whoever reaches the socket gets the clients: "
                f"give it to the keeper's user alone (chmod 700 {path.parent})"
            )
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"cannot make {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise CommandError(f"another keeper serves {path}; stop it or choose another --socket") from error
    return lock


def _listener(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        path.unlink(missing_ok=True)  # of a keeper that was killed
        sock.bind(str(path))
        path.chmod(0o600)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise CommandError(f"cannot listen at {path}: {error.strerror}") from error
    return sock


async def run(settings: KeeperSettings) -> None:
    """Run a keeper until SIGTERM or SIGINT."""
    await KeeperDaemon(settings).run()
