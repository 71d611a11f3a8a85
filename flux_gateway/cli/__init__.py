"""The `flux` command line."""
