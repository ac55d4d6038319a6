"""One module per command: parse, call, print. No logic."""
