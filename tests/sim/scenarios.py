"""What happens to a stack, told once: for the simulated world and for real hosts alike.

A scenario is a list of moments; at each of them both worlds must plan the same steps and actions.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT = """\
name: truth
servers: {provider: local, count: COUNT, network: 10.88.217.0/24}
kubernetes: {}
"""


@dataclass(frozen=True)
class Moment:
    """What is done before both are asked. count: servers declared from then on; 0 for as before.
    removed: files that somebody removes, as `host:path`. applied: whether DISCO then runs."""

    name: str
    count: int = 0
    removed: tuple[str, ...] = ()
    applied: bool = False


MOMENTS = (
    Moment("nothing is there", count=2),
    Moment("it was brought up", applied=True),
    Moment("a file of containerd is gone", removed=("h2:/etc/disco/containerd.toml",)),
    Moment("it was mended", applied=True),
    Moment(
        "files of two hosts are gone",
        removed=("h1:/etc/sysctl.d/90-disco.conf", "h2:/etc/systemd/system/kubelet.service"),
    ),
    Moment("one server is no longer declared", count=1),
    Moment("it left", applied=True),
    Moment("it is declared again", count=2),
)
