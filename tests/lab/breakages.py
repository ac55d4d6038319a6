"""What is broken for real, what the checks must say of it, and how long mending may take.

Breakages that do not disturb each other share a scenario: one look while all is broken, one after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from break_cluster import (
    no_services_of_the_cluster,
    pods_cut_off_and_a_standstill,
    strangers_in_the_cluster,
)
from break_host import (
    another_chain_declared,
    fresh_trouble_on_the_host,
    nothing_answers,
    other_file,
)
from break_platform import an_empty_vault_and_a_lonely_validator, trouble_in_the_metrics
from tools import Tools


@dataclass(frozen=True)
class Scenario:
    """red: check -> what its evidence must match. green: checks that must not be disturbed."""

    name: str
    breaking: Callable[[Tools], AbstractContextManager[None]]
    red: dict[str, str]
    green: tuple[str, ...] = ()
    mended_within_s: float = 60
    file: Callable[[Tools], Path] | None = None  # the stack file, when it is not the usual one


SCENARIOS = (
    Scenario(
        "fresh trouble on the host",
        fresh_trouble_on_the_host,
        {
            "servers/clock": r"h1: \+(3[5-9]|4\d) s off",
            "servers/disk": r"h1: 0 B of 1 MiB free on /var/log",
            "servers/memory": r"h1: 117 MiB of .* GiB free",
            "servers/units": r"h1: failed: lab-broken.service",
            "servers/restart": r"h1: due",
            "cluster/sysctls": r"bridge-nf-call-ip6tables is 0, not 1",
            "cluster/units": r"h1: disco-apiproxy.service is inactive",
            "cluster/api-ways": r"h1: .*kubernetes.disco.internal:7443 was refused",
            "cluster/certificates": r"healthcheck-client.crt: ends in 10 days",
            "chain/akash/keys": r"twin: has the key of validator-0",
            "chain/akash/signers": r"1 of 2 .*validator-1: is leased to .* cluster elsewhere",
            "chain/akash/genesis": r"0 of 3 .*validator-0: has [0-9a-f]{16}, not [0-9a-f]{16}",
        },
        green=("servers/ssh", "cluster/etcd"),
    ),
    Scenario(
        "another chain declared",
        another_chain_declared,
        {"chain/akash/chain-id": r"validator-0: is on disco-local-1"},
        file=other_file,
    ),
    Scenario(
        "nothing answers",
        nothing_answers,
        {
            "servers/ssh": r"h1: .*(refused|no answer)",
            "cluster/api": r"can't be reached|no answer",
        },
    ),
    Scenario(
        "strangers in the cluster",
        strangers_in_the_cluster,
        {
            "cluster/nodes": r"1 of 2 nodes Ready; ghost: not Ready",
            "cluster/versions": r"kubelet on ghost: runs v1.35.0",
            "cluster/etcd": r"member [0-9a-f]+: has never started",
            "cluster/control-plane": r"kube-scheduler-h1: there is no such pod",
            "cluster/default-class": r"2 default of 2 storage classes",
            "cluster/workloads": r"default/lab-crash: (CrashLoopBackOff|ends with 1 again)",
            "cluster/metrics-api": r"metrics.k8s.io|ghost: no figures",
            "cluster/releases": r"default/lab-broken: is failed",
            "cluster/declared": r"kube-storage/storage: revision \d+ was made by somebody else",
            "metrics/declared": r"monitoring/prometheus: revision \d+ was made by somebody else",
            "alerts/declared": r"alerts/alertmanager: revision \d+ was made by somebody else",
            "probes/declared": r"probes/blackbox: revision \d+ was made by somebody else",
            "kube_state/declared": r"kube-state/kube-state: revision \d+ was made by somebody",
            "logs/declared": r"logs/logs: revision \d+ was made by somebody else",
            "vault/declared": r"vault/openbao: revision \d+ was made by somebody else",
            "chain/akash/declared": r"akash/akash: revision \d+ was made by somebody else",
            "vault/certificate": r"openbao-0: is not the one in the store",
            "vault/access": r"policy disco: is not as DISCO wrote it",
            "vault/components": r"component-chains-akash: its policy is not as declared",
            "vault/break-glass": r"0 of 1 given for a root token, begun by nobody who said so",
            "vault/certificates": r"akash/validator-1: shows none",
            "vault/login": r"vault-probe/default: was let in, and must not be",
            "vault/policy": r"kv/data/disco/probe: may read, update",
            "vault/set-up": r"set up as nothing, not [0-9a-f]{12}",
            "vault/delivered": r"vault-probe-\S+: told [0-9a-f]{12}, not [0-9a-f]{12}",
            "chain/akash/volumes": r"home-validator-1: is going away",
        },
        green=("cluster/api",),
        mended_within_s=120,
    ),
    Scenario(
        "no services of the cluster",
        no_services_of_the_cluster,
        {
            "cluster/dns": r"h1: expected 10.96.0.1, got",
            "cluster/services": r"h1: 10.96.\S+:8080 gave no answer",
            "cluster/policies": r":8081: answered \(walled-h1-\w+\), though a policy shuts it",
            "cluster/volumes": r"the pod that should write did not end well",
            "metrics/ready": r"Prometheus does not answer /-/ready",
            "logs/ready": r"the store of logs does not answer",
        },
        green=("cluster/pod-network",),
        mended_within_s=120,
    ),
    Scenario(
        "pods cut off and a standstill",
        pods_cut_off_and_a_standstill,
        {
            "cluster/pod-network": r"from h1 on the same node: \S+:8080 gave no answer",
            "chain/akash/height": r"validator-1: stands at \d+ for 15 s",
        },
        green=("cluster/dns",),
    ),
    Scenario(
        "trouble in the metrics",
        trouble_in_the_metrics,
        {
            "metrics/targets": r"pods \S+:9999: down, .*refused",
            "metrics/samples": r"node-exporter h1: no samples",
            "metrics/rules": r"VaultSealed: is not loaded",
            "metrics/alerts": r"\d+ firing: .*LabAlert since .*: the lab is on fire",
            "chain/akash/metrics": r"validator-1: Prometheus has no height of it",
            "alerts/ready": r"alertmanager-0",
            "alerts/delivery": r"alertmanager-0",
            "kube_state/watched": r"h1: no figures",
            "logs/flow": r"h1's journal: its line is not there; pods of h1: no line",
        },
        green=("metrics/ready",),
        mended_within_s=240,
    ),
    Scenario(
        "an empty vault and a lonely validator",
        an_empty_vault_and_a_lonely_validator,
        {
            "vault/initialised": r"openbao-0: is empty",
            "vault/unsealed": r"openbao-0: is sealed",
            "vault/raft": r"nobody leads the vault",
            "vault/audit": r"nobody leads the vault",
            "probes/answered": r"vault/health: https://openbao\S+/health does not answer",
            "chain/akash/synced": r"validator-1: is catching up, at 0",
            "chain/akash/peers": r"validator-1: is not connected with validator-0",
            "chain/akash/signed": r"validator-1: signed none of blocks",
        },
        green=("vault/delivered",),
        mended_within_s=150,
    ),
)
