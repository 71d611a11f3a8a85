"""Flags of the daemons, made from their settings classes: `--host`, `--port`, ... and `--redis-host`, ...

The parts for Redis, messaging and tokens are imported where they are used: a keeper needs none, and is to stay small.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from flux_gateway.core.errors import ConfigError
from flux_gateway.runtime import config

if TYPE_CHECKING:
    from flux_gateway.gateway.messaging.settings import MessagingSettings
    from flux_gateway.registry.connect import RedisSettings

T = TypeVar("T", bound=msgspec.Struct)
F = TypeVar("F", bound=Callable[..., Any])

Section = tuple[type[msgspec.Struct], str, dict[str, Any], str]
"""A settings class, its table, its flags, and how their names begin on the command line."""


def settings_options(
    cls: type[msgspec.Struct], *, redis: bool = True, messaging: bool = False
) -> Callable[[F], F]:
    """Add `--config`, `--check`, `--log-level`, a flag for each setting of the class, and one for each of Redis and of
    messaging where a daemon has them.
    """
    sections: list[tuple[str, type[msgspec.Struct]]] = []
    if redis:
        from flux_gateway.registry.connect import RedisSettings

        sections.append(("redis-", RedisSettings))
    if messaging:
        from flux_gateway.gateway.messaging.settings import MessagingSettings

        sections.append(("messaging-", MessagingSettings))

    def decorate(function: F) -> F:
        for prefix, settings in (*sections, ("", cls)):
            for field, _, description in reversed(config.describe(settings)):
                default = "required" if field.required else f"default {_shown(config.default_of(field))}"
                name = f"{prefix}{field.name.replace('_', '-')}"
                option = click.option(
                    f"--{name}", name.replace("-", "_"), metavar="VALUE", help=f"{description} [{default}]"
                )
                function = option(function)
        function = click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]),
                                help="what to log [default info]")(function)
        function = click.option("--check", is_flag=True,
                                help="read the settings and the files they name, say what is wrong, and end")(function)
        return click.option("--config", "config_file", type=click.Path(dir_okay=False), envvar="FLUX_CONFIG",
                            help="TOML file with the settings")(function)

    return decorate


def _shown(default: Any) -> str:
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default)) or "none"
    if isinstance(default, msgspec.Struct):
        return "see docs/configuration.md"
    return str(default) if default not in ("", {}) else "none"


def load(cls: type[T], section: str, flags: dict[str, Any]) -> "tuple[T, RedisSettings]":
    """Return the settings of a daemon and of its Redis. Raises `ConfigError` with the faults of both.

    With `--check` among the flags, also the files they name are read; then one line says that all is well, and the
    program ends.
    """
    settings, redis = _load([(cls, section, flags, ""), _redis(flags)], flags)
    return settings, redis


def load_with_messaging(
    cls: type[T], section: str, flags: dict[str, Any]
) -> "tuple[T, RedisSettings, MessagingSettings]":
    """Return the settings of a daemon, of its Redis and of messaging, as `load` does."""
    from flux_gateway.gateway.messaging.settings import MessagingSettings

    messaging = (MessagingSettings, "messaging", _taken(flags, "messaging_"), "messaging-")
    settings, redis, about = _load([(cls, section, flags, ""), _redis(flags), messaging], flags)
    return settings, redis, about


def load_alone(cls: type[T], section: str, flags: dict[str, Any]) -> T:
    """Return the settings of a daemon that needs no Redis, as `load` does."""
    settings: T = _load([(cls, section, flags, "")], flags)[0]
    return settings


def _redis(flags: dict[str, Any]) -> Section:
    from flux_gateway.registry.connect import RedisSettings

    return RedisSettings, "redis", _taken(flags, "redis_"), "redis-"


def _taken(flags: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Take the flags that begin with the prefix out of all of them, and return them without it."""
    return {name.removeprefix(prefix): flags.pop(name) for name in list(flags) if name.startswith(prefix)}


def _load(sections: list[Section], flags: dict[str, Any]) -> list[Any]:
    given, checking = flags.pop("config_file"), flags.pop("check")
    file = Path(given) if given else None
    faults: list[str] = []
    loaded: list[Any] = []
    for kind, table, values, prefix in sections:
        with _collected(faults):
            loaded.append(config.load(kind, table, file=file, flags=values, flag_prefix=prefix))
    if checking:
        for settings in loaded:
            with _collected(faults):
                _read_secrets(settings)
    if faults:
        raise ConfigError(faults)
    if checking:
        click.echo(f"{given or 'settings'}: ok")
        raise click.exceptions.Exit(0)
    return loaded


@contextlib.contextmanager
def _collected(faults: list[str]) -> Any:
    try:
        yield
    except ConfigError as error:
        faults += [fault for fault in error.faults if fault not in faults]


def _read_secrets(settings: Any) -> None:
    """Read the files with passwords, tokens and keys, for nothing but their faults. Raises `ConfigError`."""
    if hasattr(settings, "password"):
        settings.password()
    elif hasattr(settings, "token_file"):
        from flux_gateway.runtime.admin import read_token

        read_token(settings.token_file)
    elif hasattr(settings, "token_hmac_file"):
        from flux_gateway.gateway.messaging.secret_files import read_secrets

        read_secrets(settings)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a daemon's main coroutine, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
