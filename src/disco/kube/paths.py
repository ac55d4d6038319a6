"""Where the API keeps an object, from its kind alone."""

from __future__ import annotations

from typing import Any

from disco.engine.errors import DiscoError

# kind -> (plural, namespaced); what DISCO applies, itself and by its charts.
KINDS = {
    "Namespace": ("namespaces", False),
    "Secret": ("secrets", True),
    "ConfigMap": ("configmaps", True),
    "ServiceAccount": ("serviceaccounts", True),
    "Service": ("services", True),
    "Pod": ("pods", True),
    "PersistentVolumeClaim": ("persistentvolumeclaims", True),
    "NetworkPolicy": ("networkpolicies", True),
    "Deployment": ("deployments", True),
    "StorageClass": ("storageclasses", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "Job": ("jobs", True),
    "DaemonSet": ("daemonsets", True),
    "StatefulSet": ("statefulsets", True),
    "PodDisruptionBudget": ("poddisruptionbudgets", True),
    "PriorityClass": ("priorityclasses", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "ClusterRole": ("clusterroles", False),
    "APIService": ("apiservices", False),
}


def path_of(thing: dict[str, Any]) -> str:
    """The API path of an object."""
    kind = thing["kind"]
    if kind not in KINDS:
        raise DiscoError(f"no API path is known for objects of kind {kind}")
    plural, namespaced = KINDS[kind]
    version = thing["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    meta = thing["metadata"]
    place = f"/namespaces/{meta['namespace']}" if namespaced else ""
    return f"{root}{place}/{plural}/{meta['name']}"
