"""The dashboard as a process: gunicorn with one worker and a pool of threads."""

import errno
import logging
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from flux_gateway.core.errors import CommandError
from flux_gateway.dashboard.app import create_app
from flux_gateway.dashboard.parts import parts
from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.registry.connect import RedisSettings
from flux_gateway.runtime.ports import taken

log = logging.getLogger(__name__)

STOP_SECONDS = 2
"""How long a stop waits for answers under way. Streams are ended first, so it is rarely used up."""

KEPT_ALIVE_SECONDS = 1
"""How long a connection is kept for the next request. It may hold a stop up so long: less than `STOP_SECONDS`."""

GONE_AFTER_MS = 15_000
"""How long sent bytes may stay unacknowledged before a page counts as gone and its thread is free again."""


def run(settings: DashboardSettings, redis_settings: RedisSettings) -> None:
    """Serve until SIGTERM or SIGINT, then stop: in two seconds, if an answer takes that long. Exits with status 0.

    Raises `ConfigError` when the settings are wrong and `CommandError` when the port cannot be had.
    """
    redis_settings.password()  # a fault in the settings shows here, not in the worker
    _check_port(settings.host, settings.port)
    _Server(settings, redis_settings).run()


def _check_port(host: str, port: int) -> None:
    """gunicorn would try for five seconds and then not say who has the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(taken("dashboard", host, port)) from error
        raise CommandError(f"dashboard: cannot listen on {host} port {port}: {error.strerror}") from error


class _Log(Logger):  # type: ignore[misc]
    """gunicorn's log in the lines of all other programs: its loggers hand on to the root."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        # What it says at "info" is about its own processes.
        self.error_log.setLevel(max(logging.WARNING, logging.getLogger().level))


class _Worker(ThreadWorker):  # type: ignore[misc]
    """Ends the open streams when told to stop, before it waits for its threads."""

    def init_process(self) -> None:
        for listener in self.sockets:
            # Accepted sockets inherit it: without, a phone out of range would hold its thread for a quarter of an hour.
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_MS)
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._end_streams()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        self._end_streams()
        super().handle_quit(sig, frame)

    def run(self) -> None:
        super().run()
        app = self._app()
        if app:
            parts(app).close()

    def _end_streams(self) -> None:
        # A stream that ends leaves its connection open for another request, which would hold the stop up.
        self.cfg.set("keepalive", 0)
        # Safe in a signal handler: it runs on the main thread, which never holds the board's lock.
        app = self._app()
        if app:
            parts(app).board.close()

    def _app(self) -> Flask | None:
        app = self.app.callable
        return app if isinstance(app, Flask) else None


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: DashboardSettings, redis_settings: RedisSettings) -> None:
        self._settings = settings
        self._redis_settings = redis_settings
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        options = {
            "bind": f"{host}:{self._settings.port}",
            "workers": 1,
            "worker_class": _Worker,
            "threads": self._settings.threads,
            "logger_class": _Log,
            "graceful_timeout": STOP_SECONDS,
            "keepalive": KEPT_ALIVE_SECONDS,
            "control_socket_disable": True,
            "worker_tmp_dir": None,
            "proc_name": "flux-dashboard",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        # Called in the worker: threads do not survive a fork, so nothing may start before it.
        app = create_app(self._settings, self._redis_settings)
        log.info("dashboard at http://%s:%d/dashboard", self._settings.host, self._settings.port)
        return app
