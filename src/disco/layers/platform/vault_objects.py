"""What is in the cluster for the vault beside its release: who reaches it, and a pod that proves
that secrets come from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from disco.layers.platform.openbao import NAME, NAMESPACE, PORT
from disco.layers.platform.vault_access import PROBE
from disco.layers.platform.vault_agent import Agent

LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "disco"}
PROVE = """last=
while :; do
  now=$(busybox sha256sum < /vault/value)
  if [ "$now" != "$last" ]; then echo "$now"; last=$now; fi
  busybox sleep 1
done
"""


def reach(namespaces: Sequence[str]) -> dict[str, Any]:
    """Who reaches the vault besides whom its release lets in."""
    chosen = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": list(namespaces),
    }
    way = {
        "ports": [{"port": PORT, "protocol": "TCP"}],
        "from": [{"namespaceSelector": {"matchExpressions": [chosen]}}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "openbao-clients", "namespace": NAMESPACE, "labels": LABELS},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "policyTypes": ["Ingress"],
            "ingress": [way] if namespaces else [],
        },
    }


def probe(agent: Agent) -> Iterator[dict[str, Any]]:
    """A pod that an agent brings the secret, and that tells only its hash, and that of the next."""
    labels = {"app.kubernetes.io/name": PROBE, "app.kubernetes.io/part-of": "disco"}
    meta = {"name": PROBE, "namespace": PROBE, "labels": labels}
    prove = {
        "name": "prove",
        "image": agent.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", PROVE],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "5m", "memory": "16Mi"},
            "limits": {"memory": "256Mi"},
        },
        "volumeMounts": [agent.mount],
    }
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROBE, "labels": labels}}
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": meta,
        "automountServiceAccountToken": False,
    }
    yield from agent.objects(PROBE, labels)
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": PROBE}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": PROBE,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "runAsGroup": 1000,
                        "fsGroup": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "terminationGracePeriodSeconds": 0,
                    "initContainers": [agent.container],
                    "containers": [prove],
                    "volumes": agent.volumes,
                },
            },
        },
    }
