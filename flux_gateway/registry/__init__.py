"""The registry in Redis: who is in the cluster, in which state, and what happened (design, section 4)."""
