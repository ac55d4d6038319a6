"""DISCO: from bare servers to a running, observable, key-managed decentralized network."""

__version__ = "0.1.0"
