"""What servers give to the layers above, wherever they stand."""

from __future__ import annotations

from disco.engine.component import Outputs
from disco.hosts.host import Host


class ServersOutputs(Outputs):
    hosts: tuple[Host, ...]
