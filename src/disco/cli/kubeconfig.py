"""`disco kubeconfig` and `disco kubectl`: the cluster for programs that know Kubernetes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from disco.cli import speak
from disco.cli.foreground import attended
from disco.cli.target import cluster_of, must_have_cluster
from disco.cli.wiring import Session, open_stack
from disco.engine.errors import Exit
from disco.engine.place import write_atomically
from disco.kube.access import Cluster, render


async def kubeconfig(file: Path, write: Path | None) -> int:
    """Print it, or write it for its owner alone. Returns the exit code."""
    async with open_stack(file) as session:
        cluster = must_have_cluster(cluster_of(await session.components()))
        text = render(session.kube.kubeconfig(cluster))
    if write is None:
        speak.data(text)
    else:
        write_atomically(write.absolute(), text.encode(), mode=0o600)
        speak.talk(f"wrote {write}; use it by: export KUBECONFIG={write.absolute()}")
    return int(Exit.DONE)


async def kubectl(file: Path, arguments: Sequence[str]) -> int:
    """Run kubectl with a kubeconfig that is gone afterwards. Returns its exit code."""
    async with open_stack(file) as session:
        cluster = must_have_cluster(cluster_of(await session.components()))
        return await run_kubectl(session, cluster, arguments)


async def run_kubectl(session: Session, cluster: Cluster, arguments: Sequence[str]) -> int:
    """The program that DISCO obtained, which is many in one: its name picks kubectl."""
    held = session.artifacts.held("kube")
    program = held.path if held else shutil.which("kubectl") or session.find("kube")
    config = {"KUBECONFIG": session.kube.kubeconfig_file(cluster)}
    return await attended(program, ["kubectl", *arguments], config)
