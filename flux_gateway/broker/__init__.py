"""Channels in Redis: streams, presence, session records, and what nodes tell each other."""
