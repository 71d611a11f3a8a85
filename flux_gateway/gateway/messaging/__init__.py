"""The messaging endpoint of a node: clients of the Centrifuge protocol, their channels, and what they may do."""
