"""Every component that there is: DISCO's own, one line each, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from disco.engine.component import Component, spec_class
from disco.engine.errors import WrongUse
from disco.layers.akash.chain import ChainNode
from disco.layers.cluster.kubernetes import Kubernetes
from disco.layers.platform.prometheus import Prometheus
from disco.layers.platform.vault import Vault
from disco.layers.servers.artifacts import Artifacts
from disco.layers.servers.local import LocalServers
from disco.layers.servers.ssh import SshServers
from disco.stack.model import Model
from disco.stack.section import Section

GROUP = "disco.components"
OWN: tuple[type[Component], ...] = (
    Artifacts,
    LocalServers,
    SshServers,
    Kubernetes,
    Prometheus,
    Vault,
    ChainNode,
)


def components() -> tuple[type[Component], ...]:
    """All component classes. A plugin that can't be loaded is an error that names it."""
    return (*OWN, *(_load(entry) for entry in metadata.entry_points(group=GROUP)))


def _load(entry: metadata.EntryPoint) -> type[Component]:
    try:
        found: Any = entry.load()
    except Exception as error:
        raise WrongUse(
            f"the plugin {entry.name} can't be loaded",
            where=entry.value,
            why=repr(error),
            fix="mend or uninstall that package",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Component)):
        raise WrongUse(f"the plugin {entry.name} is not a component", where=entry.value)
    return found


def sections() -> tuple[Section, ...]:
    """What a stack file may hold."""
    return tuple(
        Section(c.section, spec_class(c), c.many, c.implied, (c.__doc__ or "").split("\n\n")[0])
        for c in components()
    )


def with_wanted(specs: Mapping[str, Model]) -> dict[str, Model]:
    """The specs, with the artifacts that each component wants added to those of `artifacts`."""
    names: dict[str, None] = {}
    for name, spec in specs.items():
        section, _, entry = name.partition(".")
        for component in components():
            wants = getattr(component, "wants", None)
            if wants and component.section == section and isinstance(spec, spec_class(component)):
                names.update(dict.fromkeys(wants(spec, entry) if component.many else wants(spec)))
    spec = specs["artifacts"]
    also = tuple(dict.fromkeys((*names, *getattr(spec, "also", ()))))
    return {**specs, "artifacts": spec.model_copy(update={"also": also})}
