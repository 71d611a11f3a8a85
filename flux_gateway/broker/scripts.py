"""The broker's Lua scripts, read from their own files."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

_FOLDER = files("flux_gateway.broker") / "lua"


class Script(NamedTuple):
    """A script's text, and its digest: what Redis knows it by."""

    text: str
    digest: str


def _read(name: str) -> Script:
    text = (_FOLDER / f"{name}.lua").read_text()
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


PUBLISH = _read("publish")
SHARDED = _read("sharded")
HISTORY = _read("history")
RENEW = _read("renew")
ADD_PRESENCE = _read("add_presence")
PRESENCE = _read("presence")
PRESENCE_STATS = _read("presence_stats")
REMOVE_PRESENCE = _read("remove_presence")
SAVE_RECORD = _read("save_record")
DROP_RECORD = _read("drop_record")
CLAIM_CONNECTION = _read("claim_connection")

ALL = (
    PUBLISH, SHARDED, HISTORY, RENEW, ADD_PRESENCE, PRESENCE, PRESENCE_STATS, REMOVE_PRESENCE, SAVE_RECORD,
    DROP_RECORD, CLAIM_CONNECTION,
)  # fmt: skip
