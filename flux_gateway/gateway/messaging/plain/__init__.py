"""Clients without WebSocket: HTTP streams, server-sent events, and the requests that bring their commands."""
