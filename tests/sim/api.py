"""The simulated Kubernetes API: objects by path, and the way through it to the vault."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from disco.kube.access import Cluster
from disco.layers.platform.openbao import ACTIVE
from sim import cluster as clusters
from sim import services, signers, vault
from sim.simulation import Simulation
from sim.state import ClusterState

PROXY = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|services)/([^/:]+):\d+/proxy(/.*)")
POD = re.compile(r"/api/v1/namespaces/vault/pods/openbao-(\d+)")
CHAIN_POD = re.compile(r"/api/v1/namespaces/([^/]+)/pods/((?:validator|signer)-[0-9-]+)")
CHAIN_CLAIM = re.compile(
    r"/api/v1/namespaces/([^/]+)/persistentvolumeclaims/(?:home|state)-((?:validator|signer)-[0-9-]+)"
)
PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods")
NODES_POD = re.compile(r"/api/v1/namespaces/kube-network/pods/flannel-(.+)")
SYSTEM = "/api/v1/namespaces/kube-system"
NODE = re.compile(r"/api/v1/nodes/([^/]+)")
VAULT_CLAIM = re.compile(r"/api/v1/namespaces/vault/persistentvolumeclaims/data-openbao-\d+")


@dataclass
class Answer:
    """What is used of an HTTP response."""

    status_code: int
    data: Any = field(default_factory=dict)

    def json(self) -> Any:
        return self.data

    @property
    def text(self) -> str:
        return json.dumps(self.data)

    @property
    def content(self) -> bytes:
        return self.text.encode() if self.data else b""

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            response: Any = self
            nothing: Any = None
            raise httpx2.HTTPStatusError(self.text, request=nothing, response=response)


class Client:
    """An HTTP client of one cluster, with the administrator's certificate signed by `ca`."""

    def __init__(self, simulation: Simulation, cluster: Cluster, ca: str) -> None:
        self._simulation, self._cluster, self._ca = simulation, cluster, ca

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        return self._answer("GET", path, dict(params or {}), None, {})

    async def patch(
        self,
        path: str,
        content: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        return self._answer("PATCH", path, dict(params or {}), json.loads(content), {})

    async def delete(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        return self._answer("DELETE", path, dict(params or {}), None, {})

    async def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        params = dict(options.get("params") or {})
        return self._answer(method, path, params, json, dict(headers or {}))

    def _answer(
        self, method: str, path: str, params: dict[str, str], body: Any, headers: dict[str, str]
    ) -> Answer:
        state = self.reach()
        if path == "/readyz":
            return Answer(200, "ok")
        if found := PROXY.fullmatch(path):
            return self._proxied(state, found, params)
        match method:
            case "GET":
                return self._get(state, path, params)
            case "PATCH":
                return self._apply(state, path, params, body)
            case "DELETE":
                return self._delete(state, path)
        raise self._simulation.refuse(f"nobody taught the simulated API {method} {path}")

    def _proxied(
        self,
        state: ClusterState,
        found: re.Match[str],
        params: dict[str, str],
    ) -> Answer:
        namespace, _, name, path = found.groups()
        if namespace == "vault":
            raise self._simulation.refuse(f"the vault is asked without TLS: {path}")
        if namespace == "monitoring":
            return services.metrics(self._simulation, state, path, params)
        return services.node_of_chain(self._simulation, state, namespace, name, path)

    @property
    def _address(self) -> str:
        return self._cluster.server.removeprefix("https://").rpartition(":")[0]

    def reach(self) -> ClusterState:
        host = self._simulation.state.by_address(self._address)
        if host is None or not clusters.is_up(host, self._simulation.state.now):
            raise httpx2.ConnectError("connection refused")
        if host.cluster is None:
            raise AssertionError("a cluster that is up exists")
        if host.cluster.ca != self._ca:
            raise self._simulation.refuse("the cluster was made with another authority")
        clusters.go_on(self._simulation.state, host.cluster)
        signers.go_on(self._simulation, host.cluster)
        return host.cluster

    def _get(self, state: ClusterState, path: str, params: dict[str, str]) -> Answer:
        if path == "/version":
            plane = self._simulation.state.by_address(self._address)
            return Answer(200, {"gitVersion": plane.kubelet if plane else ""})
        if path == "/api/v1/pods":
            return Answer(200, {"items": _pods(state, params)})
        if path == "/api/v1/persistentvolumes":
            return Answer(200, {"items": []})
        if found := NODE.fullmatch(path):
            known = found[1] in state.nodes
            return Answer(200, self._node(state, found[1])) if known else Answer(404)
        if path == "/api/v1/nodes":
            return Answer(200, {"items": [self._node(state, n) for n in sorted(state.nodes)]})
        if path == "/api/v1/secrets":
            return Answer(200, {"items": _labelled(state, "owner", "helm")})
        if path == SYSTEM:
            state.uid = state.uid or f"cluster {self._simulation.count('cluster')}"
            return Answer(200, {"metadata": {"name": "kube-system", "uid": state.uid}})
        if (found := PODS.fullmatch(path)) and found[1] != "vault":
            return Answer(200, {"items": signers.shown(state, found[1])})
        if found := CHAIN_POD.fullmatch(path):
            key = f"{found[1]}/{found[2]}"
            there = state.pods.get(key)
            return Answer(200, signers.pod_object(state, key, there)) if there else Answer(404)
        if found := CHAIN_CLAIM.fullmatch(path):
            volume = state.volumes.get(f"{found[1]}/{found[2]}")
            going = {"deletionTimestamp": "now"} if volume and volume.going else {}
            return Answer(200, {"metadata": going}) if volume else Answer(404)
        if path.endswith("/pods"):
            leads = params.get("labelSelector") == f"{ACTIVE}=true"
            names = vault.leaders(self._simulation, state) if leads else []
            return Answer(200, {"items": [{"metadata": {"name": n}} for n in names]})
        thing = state.objects.get(path)
        if thing is None:
            return Answer(404, {"message": f"{path} not found"})
        if clusters.is_workload(thing):
            return Answer(200, clusters.workload_status(self._simulation.state, state, path))
        return Answer(200, thing)

    def _node(self, state: ClusterState, name: str) -> dict[str, Any]:
        ready = clusters.node_ready(self._simulation.state, state, name)
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        host = self._simulation.state.hosts.get(name)
        runs = host.kubelet if host else ""
        info = {"kubeletVersion": runs, "machineID": state.machines.get(name, "")}
        return {
            "metadata": {"name": name},
            "status": {"conditions": conditions, "nodeInfo": info},
        }

    def _apply(
        self, state: ClusterState, path: str, params: dict[str, str], body: dict[str, Any]
    ) -> Answer:
        if found := NODE.fullmatch(path):
            state.cordoned.add(found[1])
            self._simulation.tick(f"after {found[1]} was cordoned")
            return Answer(200)
        if found := POD.fullmatch(path):
            clusters.mount(state, clusters.vault_of(state).pods[int(found[1])], reads=False)
            self._simulation.tick(f"after {path} was marked")
            return Answer(200)
        if params.get("fieldManager") != "disco" and not params.get("dryRun"):
            raise self._simulation.refuse(f"{path} is applied without the field manager disco")
        if "${" in json.dumps(body).replace("${POD", "").replace("$(", ""):
            raise self._simulation.refuse(f"{path} is applied with a reference instead of a value")
        namespace = body["metadata"].get("namespace")
        if namespace and f"/api/v1/namespaces/{namespace}" not in state.objects:
            raise self._simulation.refuse(f"{path} is applied before its namespace")
        if params.get("dryRun"):
            return Answer(200, {**state.objects.get(path, {}), **_kept(body)})
        clusters.store(state, path, _kept(body), self._simulation.state.now)
        self._simulation.tick(f"after {path} was applied")
        return Answer(200, body)

    def _delete(self, state: ClusterState, path: str) -> Answer:
        if found := POD.fullmatch(path):
            clusters.restart_vault_pod(state, int(found[1]), self._simulation.state.now)
        elif found := CHAIN_POD.fullmatch(path):
            if not signers.delete(self._simulation, state, f"{found[1]}/{found[2]}"):
                return Answer(404, {"message": f"{path} not found"})
        elif found := CHAIN_CLAIM.fullmatch(path):
            if not signers.delete_claim(state, f"{found[1]}/{found[2]}"):
                return Answer(404, {"message": f"{path} not found"})
        elif (found := NODE.fullmatch(path)) and found[1] in state.nodes:
            if found[1] not in state.cordoned:
                raise self._simulation.refuse(f"{path} is deleted before it was drained")
            del state.nodes[found[1]]
            state.orphans.add(found[1])
            state.cordoned.discard(found[1])
        elif found := NODES_POD.fullmatch(path):
            if found[1] in state.nodes:
                raise self._simulation.refuse(f"{path} is deleted while its node is there")
            state.orphans.discard(found[1])
        elif path not in state.objects:
            return Answer(404, {"message": f"{path} not found"})
        elif VAULT_CLAIM.fullmatch(path):
            # Kept by its finalizer for as long as the pod has it.
            state.objects[path]["metadata"]["deletionTimestamp"] = "now"
        else:
            clusters.remove(state, path, self._simulation.state.now)
        self._simulation.tick(f"after {path} was deleted")
        return Answer(200)


def _pods(state: ClusterState, params: dict[str, str]) -> list[dict[str, Any]]:
    """Every node has one pod, of a DaemonSet. Nobody comes to collect those of nodes that went."""
    node = params.get("fieldSelector", "").removeprefix("spec.nodeName=")
    if node not in state.nodes and node not in state.orphans:
        return []
    owner = {"kind": "DaemonSet", "name": "flannel"}
    metadata = {"name": f"flannel-{node}", "namespace": "kube-network", "ownerReferences": [owner]}
    return [{"metadata": metadata, "status": {"phase": "Running"}}]


def _kept(thing: dict[str, Any]) -> dict[str, Any]:
    """As the server keeps it: the text of a Secret in base64."""
    shown = {k: v for k, v in thing.items() if k != "stringData"}
    if texts := thing.get("stringData"):
        shown["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}
    return shown


def _labelled(state: ClusterState, label: str, value: str) -> list[dict[str, Any]]:
    return [
        {"metadata": thing["metadata"]}
        for thing in state.objects.values()
        if thing.get("metadata", {}).get("labels", {}).get(label) == value
    ]
