"""The pure core: bytes and `now` in, bytes and events out. No clock, randomness, sockets or I/O."""
