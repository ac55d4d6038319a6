"""What a component of another package is written with: everything that it may import of DISCO.

Names go from here only together with a new `CONTRACT`. docs/how-to/plugin.md is the way in, and
examples/plugin is a package to copy.
"""

from __future__ import annotations

from disco.checks.counted import counted, until_green
from disco.checks.releases import release_check
from disco.engine.action import Action
from disco.engine.check import Answer, Check
from disco.engine.component import (
    CONTRACT,
    Component,
    Layer,
    Outputs,
    StatusLine,
    Step,
    World,
    pending,
)
from disco.engine.errors import DiscoError, Retry, WrongUse
from disco.engine.gate import Executor, Report
from disco.engine.place import Place
from disco.engine.secret import Lookup, SecretRef, Text
from disco.hosts.actions import AwaitHost, Put, Run, Unit
from disco.hosts.host import Host
from disco.hosts.reader import Hosts
from disco.kube.access import Cluster
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.charts import source as chart_source
from disco.kube.reader import Kube
from disco.layers.akash.chain import ChainOutputs
from disco.layers.cluster.outputs import KubernetesOutputs
from disco.layers.platform.prometheus import PrometheusOutputs
from disco.layers.platform.seen import ClusterSeen, look
from disco.layers.platform.vault import VaultOutputs
from disco.layers.platform.vault_agent import Agent as VaultAgent
from disco.layers.platform.vault_clients import (
    VaultCertificate,
    VaultClient,
    VaultDelivery,
    VaultNeeds,
    role_of,
)
from disco.layers.platform.vault_clients import client as vault_client
from disco.layers.probed import Probed
from disco.layers.servers.artifacts import ArtifactsOutputs
from disco.layers.servers.outputs import ServersOutputs
from disco.stack.model import Model, var
from disco.store.actions import Forget, Remember
from disco.store.generate import Password
from disco.store.store import Store

__all__ = [
    "CONTRACT",
    "Action",
    "Answer",
    "Apply",
    "ArtifactsOutputs",
    "AwaitHost",
    "AwaitRollout",
    "ChainOutputs",
    "Check",
    "Cluster",
    "ClusterSeen",
    "Component",
    "Delete",
    "DiscoError",
    "Executor",
    "Forget",
    "Host",
    "Hosts",
    "Kube",
    "KubernetesOutputs",
    "Layer",
    "Lookup",
    "Model",
    "Outputs",
    "Password",
    "Place",
    "Probed",
    "PrometheusOutputs",
    "Put",
    "Release",
    "Remember",
    "Report",
    "Retry",
    "Run",
    "SecretRef",
    "ServersOutputs",
    "StatusLine",
    "Step",
    "Store",
    "Text",
    "Uninstall",
    "Unit",
    "VaultAgent",
    "VaultCertificate",
    "VaultClient",
    "VaultDelivery",
    "VaultNeeds",
    "VaultOutputs",
    "World",
    "WrongUse",
    "chart_source",
    "counted",
    "look",
    "pending",
    "release_check",
    "role_of",
    "until_green",
    "var",
    "vault_client",
]
