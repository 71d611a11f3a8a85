"""The proxy: it routes by affinity and relays bytes. Composition root: `daemon.py`."""
