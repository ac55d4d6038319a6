"""Layer 0: machines, and the artifacts that are put on them."""
