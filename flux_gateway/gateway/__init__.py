"""The gateway node: it holds the sessions. Composition root: `daemon.py`."""
