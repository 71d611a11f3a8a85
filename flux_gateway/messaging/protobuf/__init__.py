"""The schema of the Protobuf encoding, and the module that scripts/protobuf.sh makes from it."""
