"""Log lines: one per event, `time level program message key=value ...`, to standard error; or entries in journald."""

import logging
import sys
import time
from typing import Any

from flux_gateway.runtime import journal

_NEEDS_QUOTES = frozenset(' "')


class LineFormatter(logging.Formatter):
    """UTC time to the millisecond, level, program, text, then the fields given with `extra={"fields": {...}}`."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; an exception's trace follows on further lines."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        return f"{moment} {record.levelname} {self._program} {self._text(record)}"

    def _text(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        text = " ".join([record.getMessage(), *(f"{key}={_quoted(value)}" for key, value in fields.items())])
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class TextFormatter(LineFormatter):
    """Text and fields alone, for the journal: it keeps time, level and program itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return text, fields and trace of the record."""
        return self._text(record)


def _quoted(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not _NEEDS_QUOTES.intersection(text):
        return text
    # Whatever a peer put into it, it stays one value on one line.
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + '"'


def configure(program: str, level: str = "info", *, kind: str = "") -> None:
    """Send the log of this process to standard error, as lines of `program`; or to the journal, if that is there.

    `program` is the id of a gateway or proxy, `kind` what it is: `gateway`, `proxy`. Others have one name for both.
    """
    kind = kind or program
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(program))
    if journal.connected(sys.stderr):
        handler = journal.JournalHandler(_identity(program, kind), fallback=handler)
        handler.setFormatter(TextFormatter(program))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line per connection is for debugging only.
    for chatty in ("websockets", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _identity(program: str, kind: str) -> dict[str, str]:
    """Return what every entry in the journal says of its sender."""
    identity = {"SYSLOG_IDENTIFIER": f"flux-{kind}", "FLUX_PROGRAM": kind}
    member = {"gateway": "FLUX_NODE", "proxy": "FLUX_PROXY"}.get(kind)
    return identity | {member: program} if member else identity


def fields(**values: Any) -> dict[str, Any]:
    """Shorthand for the `extra` argument of a log call: `log.info("drain began", extra=fields(sessions=12))`."""
    return {"fields": values}
