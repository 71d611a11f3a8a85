"""Traffic, processor time, memory, what a proxy dials, and how long clients are left without an answer."""
