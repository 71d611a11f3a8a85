"""The keeper: it holds a proxy's connections while the proxy restarts. Composition root: `daemon.py`."""
