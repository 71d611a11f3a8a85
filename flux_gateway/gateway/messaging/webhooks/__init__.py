"""Questions to a back end over HTTP."""
