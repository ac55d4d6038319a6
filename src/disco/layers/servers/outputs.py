"""What servers give to the layers above, wherever they stand."""

from __future__ import annotations

from disco.engine.component import Outputs
from disco.hosts.host import Host


class ServersOutputs(Outputs):
    hosts: tuple[Host, ...]
    missing: frozenset[str] = frozenset()
    """Names of those that are not there yet."""
    max_unavailable: int = 0
    """So many of them may be away, or fail, while the rest goes on."""
    disposable: bool = False
    """Whether a host that leaves the stack is destroyed with all that is on it."""
