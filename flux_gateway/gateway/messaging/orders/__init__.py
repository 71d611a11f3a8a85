"""What a back end wants done to clients wherever they are: told to every node through Redis."""
