"""Every component that there is: DISCO's own, one line each, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from disco.engine.component import Component, World, spec_class
from disco.engine.errors import WrongUse
from disco.engine.gate import Executor
from disco.engine.graph import Graph
from disco.engine.secret import Lookup
from disco.layers.akash.chain import ChainNode
from disco.layers.cluster.kubernetes import Kubernetes
from disco.layers.platform.alerts import Alerts
from disco.layers.platform.grafana import Grafana, GrafanaSpec, GrafanaWithBoards
from disco.layers.platform.kube_state import KubeState
from disco.layers.platform.logs import Logs
from disco.layers.platform.probes import Probes, ProbesSpec, ProbesWithDeclared
from disco.layers.platform.prometheus import (
    Prometheus,
    PrometheusSpec,
    PrometheusWithBrought,
)
from disco.layers.platform.vault import Vault
from disco.layers.platform.vault_clients import VaultClient
from disco.layers.platform.vault_spec import VaultSpec, VaultWithClients
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
    Alerts,
    Prometheus,
    Probes,
    KubeState,
    Logs,
    Grafana,
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
    """The specs, with what each component brings to others: the artifacts that it wants to those of
    `artifacts`, its dashboards to those of `grafana`, what it may in the vault to `vault`, what of
    it shall be probed to `probes`, its alert rules and what else is to be scraped of it to
    `prometheus`.

    folder: of the stack file. Raises WrongUse, in the place of the component if in no other.
    """
    names: dict[str, None] = {}
    for told in _all_told("wants", specs, folder):
        names.update(dict.fromkeys(told))
    spec = specs["artifacts"]
    also = tuple(dict.fromkeys((*names, *getattr(spec, "also", ()))))
    brought: dict[str, Model] = {"artifacts": spec.model_copy(update={"also": also})}
    if isinstance(grafana := specs.get(Grafana.section), GrafanaSpec):
        boards = dashboards_of(specs, folder)
        brought[Grafana.section] = GrafanaWithBoards(**grafana.model_dump(), boards=boards)
    clients = _clients(specs, folder)
    if isinstance(vault := specs.get(Vault.section), VaultSpec):
        brought[Vault.section] = VaultWithClients(**dict(vault), clients=clients)
    elif clients:
        raise WrongUse(
            f"{clients[0].component} needs a vault, and the stack has none",
            where=f"{clients[0].component}.vault",
            fix="add `vault: {}`, or take its own `vault` out",
        )
    if isinstance(probes := specs.get(Probes.section), ProbesSpec):
        declared = _joined("probes", specs, folder)
        brought[Probes.section] = ProbesWithDeclared(**dict(probes), declared=declared)
    if isinstance(metrics := specs.get(Prometheus.section), PrometheusSpec):
        rules, known = _joined("rules", specs, folder), {**specs, **brought}
        jobs = tuple(job for told in _all_told("scrapes", known, folder) for job in told)
        brought[Prometheus.section] = PrometheusWithBrought(
            **dict(metrics), rules=rules, scrapes=jobs
        )
    return {**specs, **brought}


def _clients(specs: Mapping[str, Model], folder: Path) -> tuple[VaultClient, ...]:
    """Who may do something in the vault. Raises WrongUse where two would have one role."""
    found: dict[str, VaultClient] = {}
    for client in _all_told("vault_client", specs, folder):
        if client.role.name in found:
            raise WrongUse(
                f"{client.component} and {found[client.role.name].component} would be one in the "
                "vault",
                where=f"{client.component}.vault",
                fix="give one of them another name",
            )
        found[client.role.name] = client
    return tuple(found.values())


def dashboards_of(specs: Mapping[str, Model], folder: Path) -> dict[str, str]:
    """What these components bring to look at: Grafana's JSON by the dashboard's name."""
    return _joined("dashboards", specs, folder)


def _joined(what: str, specs: Mapping[str, Model], folder: Path) -> dict[str, Any]:
    """What these components say, each by names of its own, in one mapping."""
    found: dict[str, Any] = {}
    for told in _all_told(what, specs, folder):
        found.update(told)
    return found


def _all_told(what: str, specs: Mapping[str, Model], folder: Path) -> Iterator[Any]:
    """What the classes of these components say of their specs, if they say anything."""
    known = components()
    for name, spec in specs.items():
        section = name.partition(".")[0]
        for component in known:
            if component.section == section and isinstance(spec, spec_class(component)):
                told = _told(component, what, name, spec, folder)
                if told is not None:
                    yield told


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


def _told(component: type[Component], what: str, name: str, spec: Model, folder: Path) -> Any:
    """What a component's class says of one spec; None where it says nothing about that."""
    say: Callable[..., Any] | None = getattr(component, what, None)
    if say is None:
        return None
    try:
        entry = name.partition(".")[2]
        return say(spec, entry, folder) if component.many else say(spec)
    except WrongUse as error:
        error.where = error.where or name
        raise
