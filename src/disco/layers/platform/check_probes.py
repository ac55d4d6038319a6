"""Does everything answer that is asked over and over?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from disco.checks.counted import counted
from disco.checks.prometheus import Prometheus, Sample, patiently
from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.kube.reader import Kube
from disco.layers.probed import Probed

if TYPE_CHECKING:
    from disco.layers.platform.probes import Probes

SUCCESS = "probe_success"


def probes_checks(component: Probes, world: World) -> Iterator[Check]:
    server = Prometheus(world[Kube], component.kubernetes.cluster)

    async def ask() -> Answer:
        return answered(component.asked, await server.query(SUCCESS))

    yield Check(
        "probes/answered",
        "Does each address that is probed answer as it should?",
        "disco kubectl -- -n probes logs deployment/blackbox; the address is asked from inside of "
        "the cluster: does its name resolve there, is its port open, its certificate believed?",
        lambda: patiently(server, ask),
    )
    yield release_check("probes", component, world)


def answered(probes: Mapping[str, Probed], samples: Sequence[Sample]) -> Answer:
    """samples: 1 for each probe that was answered when it was asked last, 0 for the others."""
    found = {s.labels.get("probe", ""): s.value for s in samples}
    faults = {}
    for name, probe in probes.items():
        if name not in found:
            faults[name] = "was never asked"
        else:
            faults[name] = "" if found[name] else f"{probe.target} does not answer as it should"
    return counted(faults, "probes answered", ", ".join(probes))
