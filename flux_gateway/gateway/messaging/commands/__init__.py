"""What clients ask for: a file for each group of commands, and the way into a channel that several of them go."""
