"""Log lines: one per event, `time level program message key=value ...`, to standard error."""

import logging
import sys
import time
from typing import Any

_NEEDS_QUOTES = frozenset(' "')


class LineFormatter(logging.Formatter):
    """UTC time to the millisecond, level, program, text, then the fields given with `extra={"fields": {...}}`."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; an exception's trace follows on further lines."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        fields: dict[str, Any] = getattr(record, "fields", {})
        parts = [moment, record.levelname, self._program, record.getMessage()]
        parts += [f"{key}={_quoted(value)}" for key, value in fields.items()]
        line = " ".join(parts)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quoted(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not _NEEDS_QUOTES.intersection(text):
        return text
    # Whatever a peer put into it, it stays one value on one line.
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + '"'


def configure(program: str, level: str = "info") -> None:
    """Send the log of this process to standard error, as lines of `program`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(program))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line per connection is for debugging only.
    for chatty in ("websockets", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def fields(**values: Any) -> dict[str, Any]:
    """Shorthand for the `extra` argument of a log call: `log.info("drain began", extra=fields(sessions=12))`."""
    return {"fields": values}
