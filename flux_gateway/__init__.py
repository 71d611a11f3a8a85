"""Flux Gateway Cluster: a distributed WebSocket gateway for plain VMs."""

__version__ = "0.1.0"
