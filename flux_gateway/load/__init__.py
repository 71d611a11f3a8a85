"""The load generator: numbered messages over many connections, and an account of what clients saw."""
