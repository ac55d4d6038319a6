"""Trouble that Prometheus sees, and what a vault and a validator are without their volumes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack import until
from tools import BIG, CHAIN, SMALL, Json, Tools, pod

from disco.layers.akash.check_chain import BLOCKS


@contextmanager
def trouble_in_the_metrics(t: Tools) -> Iterator[None]:
    """A pod that asks to be scraped and can't, no node-exporter, rules that are missing, fail and
    fire, a validator that is scraped no more, nobody who collects logs, who tells of alerts or
    watches the cluster's objects."""
    rules = t.get("-n", "monitoring", "configmap", "prometheus-rules")["data"]
    scraped = "prometheus.io/scrape"
    try:
        asks = {scraped: "true", "prometheus.io/port": "9999"}
        t.apply(pod("lab-deaf", ["sleep", "600"], **asks))
        t.nowhere("monitoring", "node-exporter", away=True)
        t.nowhere("logs", "log-collector", away=True)
        t.scale("alerts", "statefulset/alertmanager", 0)
        t.scale("kube-state", "deployment/kube-state", 0)
        t.gone("logs", "app.kubernetes.io/name=log-collector")
        t.kubectl("-n", CHAIN, "annotate", "pod", SMALL, f"{scraped}-")
        _load_rules(t, {**rules, "vault.yaml": "groups: []\n", "lab.yaml": LAB_RULES})
        until("Prometheus has seen it all", lambda: _metrics_are_in_trouble(t), 120, 1.0)
        yield
    finally:
        t.kubectl("-n", "default", "delete", "pod", "lab-deaf", "--now")
        t.nowhere("monitoring", "node-exporter", away=False)
        t.nowhere("logs", "log-collector", away=False)
        t.scale("alerts", "statefulset/alertmanager", 1)
        t.scale("kube-state", "deployment/kube-state", 1)
        t.kubectl("-n", CHAIN, "annotate", "pod", SMALL, f"{scraped}=true")
        _load_rules(t, {"lab.yaml": None, **rules})


LAB_RULES = """groups:
  - name: lab
    rules:
      - alert: LabAlert
        expr: vector(1)
        labels: {severity: critical}
        annotations: {summary: the lab is on fire}
      - record: lab:broken
        expr: up * on () up
"""


def _load_rules(t: Tools, data: dict[str, Any]) -> None:
    """A kubelet brings a changed ConfigMap soon after its pod changed."""
    t.patch("monitoring", "configmap", "prometheus-rules", {"data": data})
    wanted = {name for name, text in data.items() if text}

    def loaded() -> bool:
        stamp = f"lab/now={time.time()}"
        t.kubectl("-n", "monitoring", "annotate", "--overwrite", "pod", "prometheus-0", stamp)
        t.signal("prometheus", "HUP")
        time.sleep(1)
        files = {Path(g["file"]).name for g in t.prometheus("rules")["groups"]}
        return files == wanted - {n for n in wanted if "- name" not in data[n]}

    until("the rules are loaded", loaded, 120)


def _metrics_are_in_trouble(t: Tools) -> bool:
    targets = t.prometheus("targets?state=active")["activeTargets"]
    rules = [r for g in t.prometheus("rules")["groups"] for r in g["rules"]]
    down = [x for x in targets if x["health"] == "down"]
    gone = not t.prometheus("query?query=scrape_samples_scraped%7Bjob%3D%22node-exporter%22%7D")[
        "result"
    ]
    height = f"cometbft_consensus_height%7Bpod%3D%22{SMALL}%22%7D"
    silent = not t.prometheus(f"query?query={height}")["result"]
    failing = any(r["health"] == "err" for r in rules)
    firing = any(r.get("state") == "firing" and r["name"] == "LabAlert" for r in rules)
    return bool(down) and gone and silent and failing and firing


@contextmanager
def an_empty_vault_and_a_lonely_validator(t: Tools) -> Iterator[None]:
    """The vault has lost its volume; so has the small validator, and nobody reaches it."""
    lost = (("vault", "data-openbao-0", "openbao-0"), (CHAIN, f"home-{SMALL}", SMALL))
    try:
        t.apply(*PARTITION)
        for where, claim, pod in lost:
            t.kubectl("-n", where, "delete", "pvc", claim, "--wait=false")
            t.kubectl("-n", where, "delete", "pod", pod, "--now")
        until("the vault answers", lambda: _vault_is_empty(t), 90)
        until("the validator is alone", lambda: _is_lonely(t), 90)
        alone = _height(t, BIG)
        until("blocks were made without it", lambda: _height(t, BIG) > alone + BLOCKS, 60)
        yield
    finally:
        t.kubectl("-n", CHAIN, "delete", "networkpolicy", "lab-small", "lab-big")
        t.stack.must("apply", "--yes", within_s=300)


def _egress(name: str, pod: str, allowed: list[Json]) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": CHAIN},
        "spec": {
            "podSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": pod}},
            "policyTypes": ["Egress"],
            "egress": allowed,
        },
    }


DNS = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}]
}
# Names must resolve: CometBFT drops a persistent peer for good whose name it can't look up.
PARTITION = (_egress("lab-small", SMALL, [DNS]), _egress("lab-big", BIG, [DNS]))


def _vault_is_empty(t: Tools) -> bool:
    (pod,) = json.loads(t.stack.disco("vault", "status", "--json").stdout)["pods"]
    return pod.get("initialized") is False


def _height(t: Tools, pod: str) -> int:
    return int(t.rpc(pod, "status")["sync_info"]["latest_block_height"])


def _is_lonely(t: Tools) -> bool:
    try:
        return bool(t.rpc(SMALL, "status")["sync_info"]["catching_up"])
    except AssertionError:
        return False
