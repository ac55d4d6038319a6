"""What a Kubernetes cluster gives to the layers above, however it was made."""

from __future__ import annotations

from disco.engine.component import Outputs
from disco.hosts.host import Host
from disco.kube.access import Cluster


class KubernetesOutputs(Outputs):
    cluster: Cluster
    control_planes: tuple[Host, ...]
    nodes: tuple[Host, ...]
    proxies: tuple[str, ...]
    """Networks (CIDR) from which the API server reaches pods when it passes requests on."""
