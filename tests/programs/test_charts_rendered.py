"""What must hold for every chart, with its own values and with the ones that people change most."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from charts_helm import CHARTS, ROOT, Object, Refusal, Render, parse

VARIANTS: list[tuple[str, Object]] = [
    *((chart, {}) for chart in CHARTS),
    ("network", {"backend": "host-gw", "interface": ""}),
    ("network", {"mtu": 1400}),
    ("storage", {"storageClass": {"default": False, "reclaimPolicy": "Retain"}}),
    ("metrics-server", {"replicas": 2, "kubeletInsecureTLS": False}),
    ("prometheus", {"nodeExporter": {"enabled": False}, "networkPolicy": {"enabled": False}}),
    ("prometheus", {"controlPlane": {"etcd": ["10.0.0.1"]}, "rules": {"a.yaml": "groups: []\n"}}),
    ("prometheus", {"scrapeConfigs": [{"job_name": "more", "static_configs": []}]}),
    ("blackbox", {"authorities": "authorities", "networkPolicy": {"enabled": False}}),
    ("kube-state", {"interval": "1m", "networkPolicy": {"enabled": False}}),
    ("alertmanager", {"replicas": 3, "secret": "a", "versions": ["1"], "externalUrl": "http://a"}),
    ("alertmanager", {"networkPolicy": {"enabled": False}}),
    ("logs", {"collector": {"journal": False}, "networkPolicy": {"enabled": False}}),
    ("loki", {"collector": {"journal": False}, "networkPolicy": {"enabled": False}}),
    ("grafana", {"logs": {"url": "http://logs.logs:9428"}, "networkPolicy": {"enabled": False}}),
    ("grafana", {"networkPolicy": {"cidrs": ["10.0.0.0/8"]}, "dashboards": {"a.json": "{}"}}),
    ("openbao", {"replicas": 1, "tls": {"enabled": True, "secretName": "tls"}}),
    ("chain", {"fullNodes": 2, "ports": {"api": None, "grpc": None}}),
    ("chain", {"persistent": False, "config": {"PRIV_VALIDATOR_LADDR": "tcp://0.0.0.0:26658"}}),
    ("chain", {"validators": 0, "fullNodes": 1}),
]
every_variant = pytest.mark.parametrize(("chart", "values"), VARIANTS, ids=lambda v: str(v)[:60])

# Why each may run as root: the first two write the kernel's rules, the third removes others' files,
# the last three read logs that only the host's root may read.
ROOT_ALLOWED = {
    *("flannel/flannel", "kube-router/kube-router", "volume-helper/helper"),
    *("log-collector/pods", "log-collector/journal", "log-collector/collector"),
}
PRIVILEGED = {"flannel/flannel", "kube-router/kube-router"}


def images_in(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the values that are image names."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from images_in(value, (*path, key))
        elif key == "image" or "images" in path:
            yield (*path, key)


def nested(path: tuple[str, ...], value: str) -> Object:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_passes_strict_lint(chart: str, helm: str) -> None:
    command = [helm, "lint", "--strict", str(ROOT / "charts" / chart)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@every_variant
def test_only_named_containers_run_as_root(chart: str, values: Object, render: Render) -> None:
    rendered = render(chart, **values)
    for name, pod in rendered.pods():
        of_pod = pod.get("securityContext", {})
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            where = f"{name}/{container['name']}"
            context = {**of_pod, **container["securityContext"]}
            user = context.get("runAsUser")
            assert (user == 0) == (where in ROOT_ALLOWED), where
            assert user == 0 or context["runAsNonRoot"] is True, where


@every_variant
def test_only_the_network_is_privileged(chart: str, values: Object, render: Render) -> None:
    for where, container in render(chart, **values).containers():
        context = container["securityContext"]
        if where in PRIVILEGED:
            assert context["privileged"] is True
            continue
        assert not context.get("privileged"), where
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["readOnlyRootFilesystem"] is True, where
        assert context["capabilities"]["drop"] == ["ALL"], where


@every_variant
def test_every_container_says_what_it_needs(chart: str, values: Object, render: Render) -> None:
    containers = render(chart, **values).containers()
    assert containers
    for where, container in containers:
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
        assert "memory" in container["resources"]["limits"], where
        assert container["imagePullPolicy"] == "IfNotPresent", where


@pytest.mark.parametrize("chart", CHARTS)
def test_every_image_is_a_value(chart: str, render: Render) -> None:
    defaults = parse((ROOT / "charts" / chart / "values.yaml").read_text())
    paths = list(images_in(defaults))
    expected = {f"elsewhere/{'-'.join(path)}:9" for path in paths}
    values: Object = {}
    for path in paths:
        image = nested(path, f"elsewhere/{'-'.join(path)}:9")
        values[path[0]] = (values.get(path[0], {}) | image[path[0]]) if path[1:] else image[path[0]]
    assert {c["image"] for _, c in render(chart, **values).containers()} == expected


@every_variant
def test_every_object_is_labelled(chart: str, values: Object, render: Render) -> None:
    names = ("name", "instance", "version", "managed-by", "part-of")
    wanted = {f"app.kubernetes.io/{name}" for name in names}
    for thing in render(chart, **values).objects:
        labels = thing["metadata"]["labels"]
        assert wanted <= labels.keys(), thing["metadata"]["name"]
        assert all(isinstance(value, str) for value in labels.values())


@every_variant
def test_selectors_find_their_own_pods_and_never_name_a_version(
    chart: str, values: Object, render: Render
) -> None:
    rendered = render(chart, **values)
    for thing in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        selector = thing["spec"]["selector"]["matchLabels"]
        assert selector.items() <= thing["spec"]["template"]["metadata"]["labels"].items()
        claims = thing["spec"].get("volumeClaimTemplates", [])
        fixed = [selector, *(claim["metadata"]["labels"] for claim in claims)]
        assert not any("app.kubernetes.io/version" in labels for labels in fixed)


@every_variant
def test_a_service_selects_pods_of_the_chart(chart: str, values: Object, render: Render) -> None:
    rendered = render(chart, **values)
    templates = [
        o["spec"]["template"]["metadata"]["labels"]
        for o in rendered.of("Deployment", "StatefulSet", "DaemonSet")
    ]
    for service in rendered.of("Service"):
        selector = dict(service["spec"]["selector"])
        selector.pop("openbao-active", None)  # a label that the leader gives itself
        owner = selector.pop("statefulset.kubernetes.io/pod-name", "").rpartition("-")[0]
        if owner:  # a label that each pod of a StatefulSet gets
            selector |= rendered.one("StatefulSet", owner)["spec"]["selector"]["matchLabels"]
        assert any(selector.items() <= labels.items() for labels in templates)


def test_names_that_yaml_takes_for_something_else_stay_names(render: Render) -> None:
    for thing in render("chain", release="12", name="y", genesisConfigMap="on").objects:
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "y"
        assert labels["app.kubernetes.io/instance"] == "12"


def test_every_chart_has_the_same_labels_file() -> None:
    files = {(ROOT / "charts" / c / "templates" / "_labels.tpl").read_text() for c in CHARTS}
    assert len(files) == 1


@pytest.mark.parametrize("chart", CHARTS)
def test_an_unknown_value_is_refused(chart: str, refusal: Refusal) -> None:
    assert "replicaz" in refusal(chart, replicaz=3)


@pytest.mark.parametrize("chart", CHARTS)
def test_unknown_values_are_refused_at_every_depth(chart: str, refusal: Refusal) -> None:
    defaults = parse((ROOT / "charts" / chart / "values.yaml").read_text())
    open_maps = {"config", "rules", "externalLabels"}
    groups = [k for k, v in defaults.items() if isinstance(v, dict) and k not in open_maps]
    for group in groups:
        assert "unheard" in refusal(chart, **{group: {"unheard": "of"}}), group


WRONG = [
    ("network", {"podSubnet": "10.244.0.0"}, "podSubnet"),
    ("network", {"backend": "wireguard"}, "backend"),
    ("network", {"backend": "host-gw", "mtu": 1400}, "mtu"),
    ("network", {"api": {"port": "7443"}}, "port"),
    ("storage", {"path": "/"}, "path"),
    ("metrics-server", {"replicas": 0}, "replicas"),
    ("prometheus", {"scrapeInterval": "often"}, "scrapeInterval"),
    ("prometheus", {"rules": {"rules": "groups: []"}}, "rules"),
    ("prometheus", {"staticTargets": [{"job": "kubelet", "targets": ["a:1"]}]}, "job"),
    ("prometheus", {"scrapeConfigs": [{"job_name": "pods"}]}, "job_name"),
    ("blackbox", {"config": {"modules": {"a": {"prober": "icmp"}}}}, "prober"),
    ("blackbox", {"authorities": "Of mine"}, "authorities"),
    ("kube-state", {"interval": "often"}, "interval"),
    ("alertmanager", {"replicas": 4}, "replicas"),
    ("alertmanager", {"config": {"receivers": []}}, "receivers"),
    ("logs", {"retention": {"time": "long"}}, "time"),
    ("logs", {"collector": {"statePath": "/"}}, "statePath"),
    ("loki", {"retention": "long"}, "retention"),
    ("loki", {"collector": {"buffer": "1GB"}}, "buffer"),
    ("grafana", {"logs": {"url": "http://a:1", "store": "elastic"}}, "store"),
    ("openbao", {"replicas": 2}, "replicas"),
    ("openbao", {"tls": {"enabled": True}}, "secretName"),
    ("chain", {"config": {"PRUNING": False}}, "PRUNING"),
    ("chain", {"config": {"pruning": "nothing"}}, "pruning"),
    ("chain", {"chainId": ""}, "chainId"),
    ("chain", {"peers": "validator-0:26656"}, "peers"),
    ("chain", {"ports": {"rpc": None}}, "rpc"),
]


@pytest.mark.parametrize(("chart", "values", "named"), WRONG, ids=lambda v: str(v)[:60])
def test_a_wrong_value_is_refused_by_name(
    chart: str, values: Object, named: str, refusal: Refusal
) -> None:
    assert named in refusal(chart, **values)
