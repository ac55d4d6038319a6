"""Secrets in place of their references, at the moment of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disco.engine.secret import Lookup, SecretRef, Text


def reveal(value: Any, lookup: Lookup) -> Any:
    """Objects and values with the secrets in place of their references."""
    if isinstance(value, Text):
        return value.reveal(lookup)
    if isinstance(value, SecretRef):
        return lookup(value)
    if isinstance(value, Mapping):
        return {k: reveal(v, lookup) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [reveal(v, lookup) for v in value]
    return value
