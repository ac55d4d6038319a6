"""Checks of this layer."""

from disco.layers.akash.check_chain import chain_checks as checks

__all__ = ["checks"]
