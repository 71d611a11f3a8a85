"""The client protocol, pure: commands, replies, pushes and their two encodings; channels, tokens, who may do what."""
