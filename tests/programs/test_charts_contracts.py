"""What other parts of DISCO count on, chart by chart."""

from __future__ import annotations

import json

from charts_helm import Object, Render, parse


def environment(container: Object) -> dict[str, str]:
    return {e["name"]: e["value"] for e in container["env"] if "value" in e}


def node_of(statefulset: Object) -> Object:
    return dict(statefulset["spec"]["template"]["spec"]["containers"][0])


def test_flannel_is_told_the_packet_of_the_interface_and_people_that_of_the_pod(
    render: Render,
) -> None:
    config = render("network", mtu=1400).one("ConfigMap", "flannel")["data"]["net-conf.json"]
    assert json.loads(config)["Backend"] == {"Type": "vxlan", "MTU": 1450}


def test_the_network_reaches_the_api_without_its_service(render: Render) -> None:
    for name in ("flannel", "kube-router"):
        container = node_of(render("network", api={"host": "h", "port": 1}).one("DaemonSet", name))
        assert environment(container)["KUBERNETES_SERVICE_HOST"] == "h"
        assert environment(container)["KUBERNETES_SERVICE_PORT"] == "1"


def test_a_changed_network_configuration_rolls_flannel(render: Render) -> None:
    def checksum(**values: object) -> object:
        daemons = render("network", **values).one("DaemonSet", "flannel")
        return daemons["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum()
    assert checksum() != checksum(backend="host-gw")


def test_prometheus_starts_anew_when_rules_change(render: Render) -> None:
    def checksum(rules: dict[str, str]) -> object:
        server = render("prometheus", rules=rules).one("StatefulSet", "prometheus")
        return server["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) != checksum({"a.yaml": "groups: []\n"})


def test_prometheus_asks_control_planes_only_where_it_is_told(render: Render) -> None:
    def jobs(**values: object) -> dict[str, Object]:
        text = render("prometheus", **values).one("ConfigMap", "prometheus")["data"]
        configs = parse(text["prometheus.yml"])["scrape_configs"]
        return {config["job_name"]: config for config in configs}

    assert not {"etcd", "scheduler", "controller-manager"} & jobs().keys()
    told = jobs(controlPlane={"etcd": ["10.0.0.1", "10.0.0.2:99"], "scheduler": ["10.0.0.1"]})
    assert told["etcd"]["static_configs"] == [{"targets": ["10.0.0.1:2381", "10.0.0.2:99"]}]
    assert told["scheduler"]["static_configs"] == [{"targets": ["10.0.0.1:10259"]}]
    assert "controller-manager" not in told


def test_rules_reach_prometheus_unchanged(render: Render) -> None:
    rules = {"a.yaml": 'groups: [{name: "{{ $labels.a }}"}]\n'}
    assert render("prometheus", rules=rules).one("ConfigMap", "prometheus-rules")["data"] == rules


def test_every_vault_joins_every_other(render: Render) -> None:
    config = render("openbao", replicas=5).one("ConfigMap", "openbao")["data"]["bao.hcl"]
    assert config.count("retry_join") == 5
    assert "http://openbao-4.openbao:8200" in config


def test_an_open_vault_is_closed_to_everyone_who_is_not_named(render: Render) -> None:
    policy = render("openbao", networkPolicy={"metricsNamespace": ""}).one(
        "NetworkPolicy", "openbao"
    )
    (own,) = policy["spec"]["ingress"]
    assert all("namespaceSelector" not in peer for peer in own["from"])


def test_clients_of_the_vault_reach_its_leader_only(render: Render) -> None:
    service = render("openbao").one("Service", "openbao-active")
    assert service["spec"]["selector"]["openbao-active"] == "true"


def test_a_sealed_vault_is_not_ready_yet_alive(render: Render) -> None:
    bao = node_of(render("openbao").one("StatefulSet", "openbao"))
    assert "sealedcode" not in bao["readinessProbe"]["httpGet"]["path"]
    assert "sealedcode=204" in bao["livenessProbe"]["httpGet"]["path"]
    assert "uninitcode=204" in bao["livenessProbe"]["httpGet"]["path"]


def test_a_chain_never_runs_in_a_deployment(render: Render) -> None:
    rendered = render("chain", fullNodes=1)
    assert not rendered.of("Deployment", "ReplicaSet", "DaemonSet")
    assert {o["metadata"]["name"] for o in rendered.of("StatefulSet")} == {"validator", "node"}


def test_peers_find_validators_before_they_are_ready_and_clients_after(render: Render) -> None:
    rendered = render("chain")
    assert rendered.one("Service", "validator")["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in rendered.one("Service", "rpc")["spec"]


def test_each_validator_has_an_address_that_stays_when_its_pod_moves(render: Render) -> None:
    """A node resolves the names of its peers once, when it starts."""
    rendered = render("chain", validators=2, fullNodes=1)
    for pod in ("validator-0", "validator-1"):
        spec = rendered.one("Service", pod)["spec"]
        assert spec["selector"] == {"statefulset.kubernetes.io/pod-name": pod}
        assert spec["publishNotReadyAddresses"] is True and "clusterIP" not in spec
    services = {s["metadata"]["name"] for s in rendered.of("Service")}
    assert services == {"validator", "node", "rpc", "validator-0", "validator-1"}


def test_clients_are_sent_to_full_nodes_if_there_are_any(render: Render) -> None:
    def role(count: int) -> object:
        service = render("chain", fullNodes=count).one("Service", "rpc")
        return service["spec"]["selector"]["app.kubernetes.io/component"]

    assert (role(0), role(2)) == ("validator", "node")


def test_settings_of_the_stack_win_over_those_of_the_chart(render: Render) -> None:
    values: Object = {"envPrefix": "SIMD", "config": {"API_ENABLE": "false", "PRUNING": "nothing"}}
    container = node_of(render("chain", **values).one("StatefulSet", "validator"))
    names = [e["name"] for e in container["env"]]
    assert len(names) == len(set(names))
    assert environment(container)["SIMD_API_ENABLE"] == "false"
    assert environment(container)["SIMD_PRUNING"] == "nothing"
    assert environment(container)["SIMD_P2P_LADDR"] == "tcp://0.0.0.0:26656"


def test_keys_are_readable_by_the_group_alone_and_mounted_in_the_first_container_only(
    render: Render,
) -> None:
    pod = render("chain").one("StatefulSet", "validator")["spec"]["template"]["spec"]
    (keys,) = [v["secret"] for v in pod["volumes"] if "secret" in v]
    assert keys["defaultMode"] == 0o400
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert "keys" in {m["name"] for m in pod["initContainers"][0]["volumeMounts"]}
    assert "keys" not in {m["name"] for m in pod["containers"][0]["volumeMounts"]}


def test_only_validators_wait_for_a_remote_signer(render: Render) -> None:
    config = {"PRIV_VALIDATOR_LADDR": "tcp://0.0.0.0:26658"}
    rendered = render("chain", fullNodes=1, config=config)
    validator, node = (node_of(rendered.one("StatefulSet", name)) for name in ("validator", "node"))
    assert "AKASH_PRIV_VALIDATOR_LADDR" in environment(validator)
    assert "AKASH_PRIV_VALIDATOR_LADDR" not in environment(node)
    ports = [
        r["ports"][0]["port"] for r in rendered.one("NetworkPolicy", "chain")["spec"]["ingress"]
    ]
    assert 26658 in ports


def test_what_a_validator_signed_outlives_its_release(render: Render) -> None:
    spec = render("chain").one("StatefulSet", "validator")["spec"]
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["persistentVolumeClaimRetentionPolicy"] == kept
    assert spec["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOnce"]
