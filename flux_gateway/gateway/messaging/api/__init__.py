"""The HTTP API for back ends, on the admin port."""
