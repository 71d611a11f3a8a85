"""What every daemon needs around its own work: configuration, logging, admin HTTP, process figures, the poller."""
