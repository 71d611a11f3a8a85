"""Traffic, processor time, memory, and what a proxy dials."""
