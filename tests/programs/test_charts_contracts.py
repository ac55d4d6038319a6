"""What other parts of DISCO count on, chart by chart."""

from __future__ import annotations

import configparser
import json

from charts_helm import Object, Render, parse

from disco.layers.akash.signer_pods import has_left


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


def test_a_signer_that_leaves_has_no_key_and_keeps_its_volume(render: Render) -> None:
    signing, leaving = (
        render("signer", leaving=leaves).one("StatefulSet", "signer-0") for leaves in (False, True)
    )
    pod = leaving["spec"]["template"]["spec"]
    assert has_left(pod) and not has_left(signing["spec"]["template"]["spec"])
    assert "signer-key" in json.dumps(signing) and "signer-key" not in json.dumps(leaving)
    assert "tmkms start" not in json.dumps(pod) and "sign.sh" not in json.dumps(pod)
    assert leaving["spec"]["volumeClaimTemplates"] == signing["spec"]["volumeClaimTemplates"]
    names = {
        m["name"] for c in (*pod["initContainers"], *pod["containers"]) for m in c["volumeMounts"]
    }
    assert names == {v["name"] for v in pod["volumes"]} | {"state"}


def test_what_a_validator_signed_outlives_its_release(render: Render) -> None:
    spec = render("chain").one("StatefulSet", "validator")["spec"]
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["persistentVolumeClaimRetentionPolicy"] == kept
    assert spec["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_nobody_looks_at_grafana_without_a_login_and_it_fetches_and_reports_nothing(
    render: Render,
) -> None:
    rendered = render("grafana", logs={"url": "http://logs.logs:9428"})
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(rendered.one("ConfigMap", "grafana")["data"]["grafana.ini"])

    assert config["auth.anonymous"]["enabled"] == "false"
    assert config["users"]["allow_sign_up"] == "false"
    assert config["plugins"]["preinstall_disabled"] == "true"
    assert set(config["analytics"].values()) == {"false"}
    assert config["security"]["admin_password"] == "$__file{/etc/grafana/admin/password}"
    policy = rendered.one("NetworkPolicy", "grafana")["spec"]
    ports = {p["port"] for rule in policy["egress"] for p in rule["ports"]}
    assert "Egress" in policy["policyTypes"] and ports == {53, 9090, 9428}


def test_grafana_has_a_source_of_logs_only_where_they_are_kept(render: Render) -> None:
    def sources(**values: object) -> dict[str, Object]:
        text = render("grafana", **values).one("ConfigMap", "grafana")["data"]["datasources.yaml"]
        return {source["uid"]: source for source in parse(text)["datasources"]}

    assert sources().keys() == {"prometheus"}
    assert sources(logs={"url": "http://x:1"})["victorialogs"]["url"] == "http://x:1"
    loki = sources(logs={"url": "http://x:1", "store": "loki"})["loki"]
    assert (loki["type"], loki["url"]) == ("loki", "http://x:1")
    interval = sources(prometheus={"url": "http://p:1", "interval": "5s"})["prometheus"]
    assert interval["jsonData"]["timeInterval"] == "5s", "rates are computed by it"


def test_another_password_starts_grafana_anew_and_another_dashboard_does_not(
    render: Render,
) -> None:
    def annotations(**values: object) -> object:
        server = render("grafana", **values).one("Deployment", "grafana")
        return server["spec"]["template"]["metadata"]["annotations"]

    board = {"stack.json": "{}"}
    assert annotations(dashboards=board) == annotations(dashboards={"stack.json": "[]"})
    secret = {"name": "grafana-admin", "version": "2"}
    assert annotations(adminSecret=secret) != annotations()


def test_a_chain_begins_after_containers_of_others_and_reads_their_volumes(render: Render) -> None:
    before, mount = {"name": "agent", "image": "a:1"}, {"name": "extra", "mountPath": "/extra"}
    rendered = render(
        "chain",
        serviceAccountName="mine",
        extraInitContainers=[before],
        extraVolumes=[{"name": "extra", "emptyDir": {}}],
        extraVolumeMounts=[mount],
    )
    pod = rendered.one("StatefulSet", "validator")["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["initContainers"]] == ["agent", "home"]
    assert pod["serviceAccountName"] == "mine" and not pod["automountServiceAccountToken"]
    assert {"name": "extra", "emptyDir": {}} in pod["volumes"]
    assert mount in pod["containers"][0]["volumeMounts"]
    alone = render("chain").one("StatefulSet", "validator")["spec"]["template"]["spec"]
    assert "serviceAccountName" not in alone
