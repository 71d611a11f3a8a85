"""Drills: break one thing while clients talk, and tell what they saw."""
