"""Short-lived pods that look at the cluster from inside: two on every node, gone after the checks.

Each serves its name on two ports, and on the first one also programs that ask on our behalf: what
answers at these addresses, what is the address of this name. `walled` ones are behind a policy
that lets only `open` ones in, and only to the first port.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from disco.checks.shared import to_the_end
from disco.engine.errors import DiscoError
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.cluster.pods import state

NAMESPACE = "disco-check"
LABEL = "disco.network/check"
PORT, SHUT = 8080, 8081
UP_WITHIN_S = 25.0
LISTENS_WITHIN_S = 4.0
LIFETIME_S = 120  # a pod whose DISCO was killed ends by itself, and is removed by a later check
STALE_S = 300
CORE = f"/api/v1/namespaces/{NAMESPACE}"
PODS, SERVICES, CLAIMS = (
    f"{CORE}/{kind}" for kind in ("pods", "services", "persistentvolumeclaims")
)
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
AT_ONCE = {"gracePeriodSeconds": "0", "propagationPolicy": "Background"}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
LOCKED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# busybox: `wget -T` crashes, so `timeout` bounds it. One line an address: `ADDRESS ANSWER`.
SERVE = f"""set -eu
mkdir -p /www/cgi-bin; cd /www/cgi-bin
hostname > /www/index.html
cat > reach <<'END'
#!/bin/sh
set -f; echo "Content-Type: text/plain"; echo
for a in $(echo "$QUERY_STRING" | tr + ' '); do
  (o=$(timeout 3 wget -q -O - "http://$a/" 2>/dev/null | head -c 64); echo "$a $o") &
done
wait
END
cat > resolve <<'END'
#!/bin/sh
echo "Content-Type: text/plain"; echo
timeout 4 nslookup "$QUERY_STRING" 2>&1
END
chmod +x reach resolve
httpd -p {SHUT} -h /www
exec httpd -f -p {PORT} -h /www
"""


def labels(run: str, role: str) -> dict[str, str]:
    """run: one `disco check`; several at once must not meet."""
    part = {"app.kubernetes.io/name": "disco-check", "app.kubernetes.io/part-of": "disco"}
    return {**part, LABEL: run, f"{LABEL}-role": role}


def new_run() -> str:
    return secrets.token_hex(4)


def pod(
    run: str, role: str, name: str, image: str, script: str, volume: dict[str, Any], **spec: Any
) -> dict[str, Any]:
    """A pod that may do nothing but run a shell script, with one volume at /MOUNT-NAME."""
    container = {
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "securityContext": LOCKED,
        "resources": {
            "requests": {"cpu": "1m", "memory": "8Mi"},
            "limits": {"memory": "32Mi"},
        },
        "volumeMounts": [{"name": volume["name"], "mountPath": f"/{volume['name']}"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels(run, role)},
        "spec": {
            "serviceAccountName": "probe",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": LIFETIME_S,
            "restartPolicy": "Never",
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [volume],
            **spec,
        },
    }


def server(run: str, role: str, node: str, image: str) -> dict[str, Any]:
    """On that very node, ready or not: it does not go through the scheduler."""
    return pod(
        run,
        role,
        f"{role}-{node}-{run}"[:253],
        image,
        SERVE,
        {"name": "www", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        nodeName=node,
    )


def service(run: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"open-{run}", "labels": labels(run, "open")},
        "spec": {
            "selector": {LABEL: run, f"{LABEL}-role": "open"},
            "publishNotReadyAddresses": True,
            "ports": [{"port": PORT}],
        },
    }


def wall(run: str) -> dict[str, Any]:
    """Nobody gets into the walled pods, but the open ones to one port."""

    def those(role: str) -> dict[str, Any]:
        return {"matchLabels": {LABEL: run, f"{LABEL}-role": role}}

    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"wall-{run}", "labels": labels(run, "walled")},
        "spec": {
            "podSelector": those("walled"),
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": those("open")}], "ports": [{"port": PORT}]}],
        },
    }


@dataclass(frozen=True)
class Pods:
    """The probe pods that run. open and walled: address by node."""

    kube: Kube
    cluster: Cluster
    run: str
    open: Mapping[str, str]
    walled: Mapping[str, str]
    service: str

    async def reach(self, node: str, targets: Sequence[str]) -> dict[str, str]:
        """What answers at `address:port`, asked from a node's open pod; empty: nothing."""
        text = await self._ask(node, f"reach?{'+'.join(targets)}")
        lines = (line.partition(" ") for line in text.splitlines())
        found = {target: answer.strip() for target, _, answer in lines}
        return {target: found.get(target, "") for target in targets}

    async def resolve(self, node: str, name: str) -> str:
        """What nslookup prints there."""
        return await self._ask(node, f"resolve?{name}")

    async def _ask(self, node: str, what: str) -> str:
        """Its server listens a moment after its container began to run."""
        target = f"{NAMESPACE}/pods/open-{node}-{self.run}:{PORT}"
        ends = time.monotonic() + LISTENS_WITHIN_S
        while True:
            answer = await self.kube.proxy(self.cluster, target, f"/cgi-bin/{what}", timeout=8)
            if answer.status_code == 200:
                return answer.text
            if time.monotonic() > ends:
                raise DiscoError(
                    "the probe pod does not answer the API server",
                    where=node,
                    why=f"{' '.join(answer.text.split())[:200]} ({answer.status_code})",
                )
            await asyncio.sleep(0.2)


@asynccontextmanager
async def probing(
    kube: Kube, cluster: Cluster, nodes: Sequence[str], image: str
) -> AsyncIterator[Pods]:
    """Probe pods on these nodes, removed at the end however it ends."""
    run = new_run()
    servers = [server(run, role, node, image) for role in ("open", "walled") for node in nodes]
    try:
        await prepare(kube, cluster)
        # One after the other: what is cut off here leaves nothing that is still being made.
        await create(kube, cluster, POLICIES, wall(run))
        made = await create(kube, cluster, SERVICES, service(run))
        for one in servers:
            await create(kube, cluster, PODS, one)
        found = await _running(kube, cluster, run, len(servers))
        address = str(made["spec"]["clusterIP"])
        yield Pods(kube, cluster, run, found["open"], found["walled"], address)
    finally:
        await to_the_end(remove(kube, cluster, run))


async def prepare(kube: Kube, cluster: Cluster) -> None:
    """The namespace and its account; they stay, empty, so that several checks can't collide."""
    meta = {"name": NAMESPACE, "labels": {"app.kubernetes.io/part-of": "disco", **RESTRICTED}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "probe"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
    await create(kube, cluster, "/api/v1/namespaces", namespace)
    await create(kube, cluster, f"{CORE}/serviceaccounts", account)


async def create(kube: Kube, cluster: Cluster, path: str, thing: dict[str, Any]) -> dict[str, Any]:
    """Make an object; one that is there already is left as it is."""
    with translated(cluster, f"make {thing['kind']} {thing['metadata']['name']}"):
        answer = await kube.http(cluster).post(path, json=thing)
        if answer.status_code != 409:
            answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made


async def _running(
    kube: Kube, cluster: Cluster, run: str, wanted: int
) -> dict[str, dict[str, str]]:
    """role -> node -> address of the pods, when all of them run."""
    ends = time.monotonic() + UP_WITHIN_S
    while True:
        pods = (await kube.get(cluster, PODS, labelSelector=f"{LABEL}={run}"))["items"]
        waiting = [f"{p['metadata']['name']}: {why}" for p in pods if (why := _behind(p))]
        if not waiting and len(pods) == wanted:
            break
        if time.monotonic() > ends:
            raise DiscoError(
                f"{len(waiting)} of {wanted} probe pods do not run after {UP_WITHIN_S:.0f} s",
                where=NAMESPACE,
                why="; ".join(waiting[:3]),
            )
        await asyncio.sleep(0.15)
    found: dict[str, dict[str, str]] = {"open": {}, "walled": {}}
    for p in pods:
        role = p["metadata"]["labels"][f"{LABEL}-role"]
        found[role][p["spec"]["nodeName"]] = p["status"]["podIP"]
    return found


def _behind(pod: dict[str, Any]) -> str:
    status = pod.get("status", {})
    return "" if status.get("phase") == "Running" and status.get("podIP") else state(pod)


async def remove(kube: Kube, cluster: Cluster, run: str) -> None:
    """Everything of this run, and what a killed one left long ago."""
    http = kube.http(cluster)

    async def one(path: str) -> None:
        chosen = {"labelSelector": f"{LABEL}={run}", **AT_ONCE}
        with translated(cluster, f"remove {path.rpartition('/')[2]} of the checks"):
            (await http.delete(path, params=chosen)).raise_for_status()
            listed = await kube.get(cluster, path, labelSelector=LABEL)
            for name in stale(listed["items"], datetime.now(UTC)):
                await http.delete(f"{path}/{name}", params=AT_ONCE)

    kinds = (PODS, SERVICES, POLICIES, CLAIMS)
    for ended in await asyncio.gather(*map(one, kinds), return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


def stale(items: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Names of objects that no running check can still need."""
    ages = {
        i["metadata"]["name"]: now - datetime.fromisoformat(i["metadata"]["creationTimestamp"])
        for i in items
    }
    return [name for name, age in ages.items() if age.total_seconds() > STALE_S]
