"""Sections like the real ones, for tests of the stack package, which knows none."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Annotated, Literal

import pydantic

from disco.stack.model import Model, var
from disco.stack.secret import SecretName
from disco.stack.section import Section


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+)([smhd])", value)
    if not found:
        raise ValueError(f"must be a duration such as 15d, 12h or 30m (got {value!r})")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that a majority exists")
    return value


Duration = Annotated[int, pydantic.BeforeValidator(_seconds)]


class LocalServers(Model):
    """Linux hosts on this machine."""

    provider: Literal["local"]
    """Where the servers come from."""
    count: int = var(1, ge=1, le=50)
    """How many servers there are."""
    memory: int = var(2048, ge=256, unit="MB")
    """Memory of each server."""
    network: IPv4Network = IPv4Network("10.80.0.0/24")
    """Where the servers' addresses are taken from."""


class Host(Model):
    name: str = var(pattern=r"^[a-z][a-z0-9-]*$")
    """The host's name in the cluster."""
    address: str = var(min_length=1)
    """Where its SSH server listens."""
    user: str = "root"
    """Who logs in."""
    port: int = var(22, ge=1, le=65535)
    """The port of its SSH server."""


class SshServers(Model):
    """Hosts that exist already."""

    provider: Literal["ssh"]
    """Where the servers come from."""
    hosts: list[Host] = var(min_length=1)
    """The servers."""
    labels: dict[str, str] = var({})
    """Labels of every server."""


class LocalPath(Model):
    kind: Literal["local-path"]
    """What gives volumes."""
    folder: str = "/var/lib/volumes"
    """Where they are on a node."""


class Longhorn(Model):
    kind: Literal["longhorn"]
    """What gives volumes."""
    replicas: int = var(3, ge=1)
    """Copies of each volume."""


class Etcd(Model):
    snapshots: bool = True
    """Whether snapshots are taken."""
    keep: int = var(5, ge=0)
    """How many are kept."""


class Kubernetes(Model):
    """The cluster."""

    version: str = "1.34"
    """Kubernetes' version."""
    control_planes: Annotated[int, pydantic.AfterValidator(_odd)] = var(1, ge=1)
    """How many nodes hold the cluster's state."""
    pod_subnet: IPv4Network = IPv4Network("10.244.0.0/16")
    """Where pods' addresses are taken from."""
    cni: Literal["kube-router", "flannel", "cilium"] = "kube-router"
    """What connects pods."""
    workers: int | Literal["auto"] = "auto"
    """How many nodes carry load."""
    storage: Annotated[LocalPath | Longhorn, pydantic.Field(discriminator="kind")] = LocalPath(
        kind="local-path"
    )
    """What gives volumes to pods."""
    etcd: Etcd = Etcd()
    """The cluster's database."""


class Chain(Model):
    """A chain to run."""

    definition: str
    """The chain's definition, by its name."""
    validators: int = var(1, ge=1)
    """How many validators run."""
    peers: list[str] = var([])
    """Nodes to connect to first."""
    gas_price: float = var(0.025, ge=0, unit="uakt")
    """The least price of gas."""


class Prometheus(Model):
    """Metrics for every layer."""

    retention: Duration = var(1296000, unit="seconds")
    """How long metrics are kept."""
    targets: str | list[str] = var([])
    """What else is watched."""


class Vault(Model):
    """Secrets for pods."""

    replicas: int = var(3, ge=1)
    """How many servers hold the secrets."""
    token: pydantic.SecretStr | None = None
    """A token that exists already."""
    login: SecretName | None = None
    """A login that is in the store."""
    audit: bool = True
    """Whether each access is logged."""


SECTIONS = (
    Section("servers", LocalServers),
    Section("servers", SshServers),
    Section("kubernetes", Kubernetes, implied=True),
    Section("chains", Chain, many=True),
    Section("prometheus", Prometheus),
    Section("vault", Vault),
)
