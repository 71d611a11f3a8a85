"""What Flux Gateway costs beside others, how fast it routes around a fault, how sessions move, and how
messages reach their subscribers.

    python -m benchmarks --help

    __main__ (commands) -> scenarios (what is compared) -> peers (what is started), measuring (how) -> table

Figures of one machine and one run, side by side. Not a test: nothing here fails because a machine is slow.
"""
