"""The supervisor: on one machine it runs the whole cluster as child processes. Composition root: `daemon.py`."""
