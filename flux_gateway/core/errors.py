"""The exceptions of the project, one tree.

    FluxError
    ├── ConfigError            settings are wrong; carries every fault at once
    ├── RegistryUnavailable    Redis did not answer
    ├── BrokerUnavailable      a channel could not be asked for or published to; carries nothing but why
    ├── HttpError              the client's request head cannot be served; carries the status to answer
    ├── ProxyHeaderError       a PROXY protocol v2 header is malformed
    ├── Unmovable              a session cannot be frozen now; the text says why
    ├── ThawError              a frozen session cannot be thawed on this node
    ├── TicketError            a ticket does not entitle to attach a session
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


class BrokerUnavailable(FluxError):
    """Redis does not answer, or refuses, what the broker asks of it. It may have done what it was asked for."""


class HttpError(FluxError):
    """A request head that is answered with `status` and a short plain text, then closed."""

    def __init__(self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.status = status
        self.headers = tuple(headers)
        super().__init__(text)


class ProxyHeaderError(FluxError):
    """Bytes that claim to be a PROXY protocol v2 header are not one."""


class Unmovable(FluxError):
    """A session cannot be frozen now. It goes on where it is."""


class ThawError(FluxError):
    """A frozen session cannot be thawed here; the text says why, and what to do."""


class TicketError(FluxError):
    """A ticket is not genuine, not for this session, or too old."""


class CommandError(FluxError):
    """A command cannot be carried out; the text says why and what to do instead."""
