"""The registry's Lua scripts, read from their own files."""

from importlib.resources import files

_FOLDER = files("flux_gateway.registry") / "lua"

ANNOUNCE = (_FOLDER / "announce.lua").read_text()
DECLARE_DEAD = (_FOLDER / "declare_dead.lua").read_text()
FORGET = (_FOLDER / "forget.lua").read_text()
SNAPSHOT = (_FOLDER / "snapshot.lua").read_text()
