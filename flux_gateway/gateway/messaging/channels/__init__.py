"""Channels on one node: who hears them here, and the way of a publication to all of them."""
