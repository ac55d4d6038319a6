"""What our charts put into a cluster, as far as anybody waits for it. A new one goes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Values = dict[str, Any]
Thing = tuple[str, dict[str, Any]]  # API path, object


def workload(
    plural: str,
    kind: str,
    namespace: str,
    name: str,
    images: Any,
    replicas: int = 1,
    needs: tuple[str, ...] = (),
    storage: str = "",
) -> Thing:
    """needs: what pods mount, `secrets/NAME` or `configmaps/NAME`. storage: of each volume."""
    spec: dict[str, Any] = {"images": images, "needs": list(needs)}
    if storage:
        claim = {"resources": {"requests": {"storage": canonical(storage)}}}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    metadata = {"name": name, "namespace": namespace}
    thing = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return f"/apis/apps/v1/namespaces/{namespace}/{plural}/{name}", thing


def canonical(size: str) -> str:
    """As the API keeps a quantity: `1Gi` for `1024Mi`."""
    number, unit = int(size[:-2]), size[-2:]
    while number % 1024 == 0 and unit != "Ti":
        number, unit = number // 1024, {"Mi": "Gi", "Gi": "Ti"}[unit]
    return f"{number}{unit}"


def _daemons(namespace: str, name: str, image: str) -> Thing:
    return workload("daemonsets", "DaemonSet", namespace, name, image)


def _network(namespace: str, values: Values) -> Iterator[Thing]:
    yield _daemons(namespace, "flannel", values["images"]["flannel"])
    yield _daemons(namespace, "kube-router", values["images"]["kubeRouter"])


def _storage(namespace: str, values: Values) -> Iterator[Thing]:
    yield workload(
        "deployments", "Deployment", namespace, "local-path-provisioner", values["images"]
    )


def _metrics_server(namespace: str, values: Values) -> Iterator[Thing]:
    yield workload("deployments", "Deployment", namespace, "metrics-server", values["image"])


def _prometheus(namespace: str, values: Values) -> Iterator[Thing]:
    yield _volumes(namespace, "prometheus", values)
    yield _daemons(namespace, "node-exporter", values["nodeExporter"]["image"])


def _alertmanager(namespace: str, values: Values) -> Iterator[Thing]:
    yield _volumes(namespace, "alertmanager", values, values["replicas"])


def _logs(namespace: str, values: Values) -> Iterator[Thing]:
    yield _volumes(namespace, "logs", values)
    yield _daemons(namespace, "log-collector", values["collector"]["image"])


def _loki(namespace: str, values: Values) -> Iterator[Thing]:
    yield _volumes(namespace, "loki", values)
    yield _daemons(namespace, "log-collector", values["collector"]["image"])


def _blackbox(namespace: str, values: Values) -> Iterator[Thing]:
    needs = (f"configmaps/{values['authorities']}",) if values["authorities"] else ()
    image = values["image"]
    yield workload("deployments", "Deployment", namespace, "blackbox", image, needs=needs)


def _kube_state(namespace: str, values: Values) -> Iterator[Thing]:
    yield workload("deployments", "Deployment", namespace, "kube-state", values["image"])


def _grafana(namespace: str, values: Values) -> Iterator[Thing]:
    needs = (f"secrets/{values['adminSecret']['name']}",)
    image = values["image"]
    yield workload("deployments", "Deployment", namespace, "grafana", image, needs=needs)


def _openbao(namespace: str, values: Values) -> Iterator[Thing]:
    tls = values.get("tls", {})
    needs = (f"secrets/{tls['secretName']}",) if tls.get("enabled") else ()
    seal = values.get("seal", {})
    needs += (f"secrets/{seal['secretName']}",) if seal else ()
    path, thing = _volumes(namespace, "openbao", values, values["replicas"], needs)
    thing["spec"]["opens"] = seal.get("kind", "")
    yield path, thing


def _chain(namespace: str, values: Values) -> Iterator[Thing]:
    needs = (f"configmaps/{values['genesisConfigMap']}", f"secrets/{values['keysSecret']}")
    for name, replicas in (("validator", values["validators"]), ("node", values["fullNodes"])):
        if replicas:
            path, thing = _volumes(namespace, name, values, replicas, needs)
            if name == "validator":
                _says_who_signs(thing, values)
            yield path, thing


def _says_who_signs(thing: dict[str, Any], values: Values) -> None:
    """The part of a validator's pod that tells whether it has its key."""
    keyless = "PRIV_VALIDATOR_LADDR" in values["config"]
    thing["spec"]["signs"] = {"kind": "validator", "keyless": keyless}
    env = [{"name": "REMOTE_SIGNER", "value": str(keyless).lower()}]
    volumes = [{"name": "keys", "secret": {"secretName": values["keysSecret"]}}]
    pod = {"initContainers": [{"name": "home", "env": env}], "volumes": volumes}
    thing["spec"]["template"] = {"spec": pod}


def _signer(namespace: str, values: Values) -> Iterator[Thing]:
    leaving = values.get("leaving", False)
    for number, _ in enumerate(values["validators"]):
        secret = f"{values['secretPrefix']}-{number}"
        needs = () if leaving else (f"secrets/{secret}",)
        needs += (f"configmaps/{values['leasesConfigMap']}",)
        path, thing = _volumes(namespace, f"signer-{number}", values, 1, needs)
        thing["spec"]["signs"] = {"kind": "signer", "keyless": leaving}
        env = [{"name": "LEAVING", "value": "true"}] if leaving else []
        gate = {"name": "gate", "image": values["image"], "env": env}
        volumes = [] if leaving else [{"name": "key", "secret": {"secretName": secret}}]
        thing["spec"]["template"] = {"spec": {"initContainers": [gate], "volumes": volumes}}
        yield path, thing


def _volumes(
    namespace: str, name: str, values: Values, replicas: int = 1, needs: tuple[str, ...] = ()
) -> Thing:
    kind, size = ("statefulsets", "StatefulSet"), values["storage"]["size"]
    return workload(*kind, namespace, name, values["image"], replicas, needs, size)


CHARTS: dict[str, Callable[[str, Values], Iterator[Thing]]] = {
    "network": _network,
    "storage": _storage,
    "metrics-server": _metrics_server,
    "alertmanager": _alertmanager,
    "prometheus": _prometheus,
    "blackbox": _blackbox,
    "kube-state": _kube_state,
    "logs": _logs,
    "loki": _loki,
    "grafana": _grafana,
    "openbao": _openbao,
    "chain": _chain,
    "signer": _signer,
}
