"""Every component that there is: DISCO's own, one line each, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from disco.engine.component import Component, World, spec_class
from disco.engine.errors import WrongUse
from disco.engine.gate import Executor
from disco.engine.graph import Graph
from disco.engine.secret import Lookup
from disco.layers.akash.chain import ChainNode
from disco.layers.cluster.kubernetes import Kubernetes
from disco.layers.platform.logs import Logs
from disco.layers.platform.prometheus import Prometheus
from disco.layers.platform.vault import Vault
from disco.layers.plugins import plugins
from disco.layers.servers.artifacts import Artifacts
from disco.layers.servers.local import LocalServers
from disco.layers.servers.ssh import SshServers
from disco.stack.model import Model
from disco.stack.section import Section

OWN: tuple[type[Component], ...] = (
    Artifacts,
    LocalServers,
    SshServers,
    Kubernetes,
    Prometheus,
    Logs,
    Vault,
    ChainNode,
)


def components() -> tuple[type[Component], ...]:
    """All component classes. Raises Several with what is wrong with those of other packages."""
    return (*OWN, *plugins(OWN))


def sections() -> tuple[Section, ...]:
    """What a stack file may hold."""
    return sections_of(components())


def sections_of(known: Iterable[type[Component]]) -> tuple[Section, ...]:
    """What these components may have in a stack file."""
    return tuple(
        Section(c.section, spec_class(c), c.many, c.implied, (c.__doc__ or "").split("\n\n")[0])
        for c in known
    )


def with_wanted(specs: Mapping[str, Model], folder: Path) -> dict[str, Model]:
    """The specs, with the artifacts that each component wants added to those of `artifacts`.

    folder: of the stack file. Raises WrongUse, in the place of the component if in no other.
    """
    names: dict[str, None] = {}
    known = components()
    for name, spec in specs.items():
        section = name.partition(".")[0]
        for component in known:
            if component.section == section and isinstance(spec, spec_class(component)):
                names.update(dict.fromkeys(_wanted(component, name, spec, folder)))
    spec = specs["artifacts"]
    also = tuple(dict.fromkeys((*names, *getattr(spec, "also", ()))))
    return {**specs, "artifacts": spec.model_copy(update={"also": also})}


def with_executors(
    own: Mapping[str, Executor], graph: Graph, world: World, lookup: Lookup
) -> dict[str, Executor]:
    """Who carries out each kind of action, those included that the stack's components bring.

    Raises WrongUse when a component would carry out a kind that is another's.
    """
    found = dict(own)
    for component in dict.fromkeys(node.component for node in graph):
        for kind, executor in component.executors(world, lookup).items():
            if kind in found:
                raise WrongUse(
                    f"the component {component.section} carries out actions of the kind {kind}",
                    where=component.__module__,
                    why="that kind is carried out already",
                    fix="give its own kind another name",
                )
            found[kind] = executor
    return found


def _wanted(component: type[Component], name: str, spec: Model, folder: Path) -> Iterable[str]:
    wants: Callable[..., Iterable[str]] | None = getattr(component, "wants", None)
    if wants is None:
        return ()
    try:
        entry = name.partition(".")[2]
        return wants(spec, entry, folder) if component.many else wants(spec)
    except WrongUse as error:
        error.where = error.where or name
        raise
