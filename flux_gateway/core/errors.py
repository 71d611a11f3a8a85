"""The exceptions of the project, one tree.

    FluxError
    ├── ConfigError            settings are wrong; carries every fault at once
    ├── RegistryUnavailable    Redis did not answer
    ├── HttpError              the client's request head cannot be served; carries the status to answer
    ├── ProxyHeaderError       a PROXY protocol v2 header is malformed
    └── CommandError           a `flux` command cannot be carried out; the text says what to do
"""

from collections.abc import Sequence


class FluxError(Exception):
    """Root of every exception this project raises on purpose. Its text is fit for a terminal."""


class ConfigError(FluxError):
    """Settings are wrong. `faults` lists every one of them, so that one run shows all."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


class RegistryUnavailable(FluxError):
    """The registry could not be read or written. What was known before stays valid (fail static)."""


class HttpError(FluxError):
    """A request head that is answered with `status` and a short plain text, then closed."""

    def __init__(self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.status = status
        self.headers = tuple(headers)
        super().__init__(text)


class ProxyHeaderError(FluxError):
    """Bytes that claim to be a PROXY protocol v2 header are not one."""


class CommandError(FluxError):
    """A command cannot be carried out; the text says why and what to do instead."""
