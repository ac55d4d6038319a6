"""Hands for breaking and mending a running stack: its cluster, its host, its store, its vault."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stack import LabStack, until

from disco.artifacts import Artifacts, Lock
from disco.cli import measured
from disco.cli.target import cluster_of, must_have_cluster
from disco.cli.wiring import open_stack
from disco.layers.platform import vault_access
from disco.layers.platform.measures import Measures
from disco.layers.platform.openbao import KEYS, OpenBao
from disco.store.store import Store

Json = dict[str, Any]
HOST = "h1"
CHAIN, BIG, SMALL = "akash", "validator-0", "validator-1"
BUSYBOX = "localhost/busybox:1.35.0"
HEALTHCHECK = "etc/kubernetes/pki/etcd/healthcheck-client"  # .crt and .key, of etcdctl


@dataclass(frozen=True)
class Row:
    """One line of `disco check --json`."""

    check: str
    ok: bool
    evidence: str
    fix: str


@dataclass(frozen=True)
class Tools:
    stack: LabStack

    # --- DISCO

    def checks(self, only: str = "", file: Path | None = None) -> tuple[int, dict[str, Row]]:
        """Exit code and rows."""
        words = ["--only", only] if only else []
        stack = LabStack(self.stack.name, file or self.stack.file)
        done = stack.disco("check", "--json", *words, within_s=240)
        assert done.returncode in (0, 3), f"{done.returncode}: {done.stdout}{done.stderr}"
        rows = json.loads(done.stdout)
        keys = ("check", "ok", "evidence", "fix")
        return done.returncode, {r["check"]: Row(*(r[k] for k in keys)) for r in rows}

    @property
    def store(self) -> Store:
        return Store(self.stack.place)

    def tell(self, *told: Measures) -> None:
        """Prometheus, of something that DISCO has learnt, as its commands do."""

        async def run() -> None:
            async with open_stack(self.stack.file) as session:
                await measured._tell(session, *told)

        asyncio.run(run())

    # --- the cluster

    @cached_property
    def _programs(self) -> Artifacts:
        return Artifacts(lock=Lock.beside(self.stack.file))

    @cached_property
    def kubeconfig(self) -> str:
        path = self.stack.folder / "kubeconfig"
        self.stack.must("kubeconfig", "--write", str(path))
        return str(path)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        return self._run("kube", "kubectl", *words, stdin=stdin)

    def helm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._program("helm", "helm", *words)

    def _run(self, artifact: str, *words: str, stdin: str = "") -> str:
        done = self._program(artifact, *words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def _program(
        self, artifact: str, *words: str, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        held = self._programs.held(artifact)
        assert held, f"{artifact} was not obtained"
        return subprocess.run(
            words,
            executable=held.path,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "KUBECONFIG": self.kubeconfig},
        )

    def get(self, *words: str) -> Json:
        found: Json = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def raw(self, path: str) -> Json:
        found: Json = json.loads(self.kubectl("get", "--raw", path))
        return found

    def apply(self, *things: Json) -> None:
        text = "\n---\n".join(json.dumps(t) for t in things)
        self.kubectl("apply", "-f", "-", stdin=text)

    def patch(self, where: str, kind: str, name: str, change: Json) -> None:
        merge = ["--type", "merge", "-p", json.dumps(change)]
        self.kubectl("-n", where, "patch", kind, name, *merge)

    def scale(self, where: str, workload: str, replicas: int) -> None:
        self.kubectl("-n", where, "scale", workload, f"--replicas={replicas}")

    def nowhere(self, where: str, daemonset: str, away: bool) -> None:
        """Take a DaemonSet off every node, or let it back."""
        selector = {"nodeSelector": {"lab/nowhere": "yes" if away else None}}
        self.patch(where, "daemonset", daemonset, {"spec": {"template": {"spec": selector}}})

    def gone(self, where: str, selector: str) -> None:
        """Wait until no pod has these labels."""

        def none() -> bool:
            return not self.get("-n", where, "pods", "-l", selector)["items"]

        until(f"no {selector} runs", none, 90)

    # --- the host

    @cached_property
    def root(self) -> Path:
        return self.stack.place.hosts / HOST / "root"

    def on_host(self, script: str, host: str = HOST) -> str:
        """As root in the host's namespaces, with no need of its sshd."""
        notes = json.loads((self.stack.place.hosts / host / "running.json").read_text())
        pid = int(notes["nspawn"])
        init = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        done = subprocess.run(
            ["nsenter", "-t", init, "-m", "-u", "-i", "-n", "-p", "--", "bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    # --- the vault

    def vault(self, work: Callable[[OpenBao, str], Awaitable[Any]]) -> Any:
        """Do something in the vault as DISCO."""

        async def run() -> Any:
            async with open_stack(self.stack.file) as session:
                cluster = must_have_cluster(cluster_of(await session.components()))
                bao = OpenBao(session.kube, cluster, session.lookup)
                return await work(bao, await vault_access.token(bao, session.store.fields(KEYS)))

        return asyncio.run(run())

    # --- the chain and its metrics

    def rpc(self, pod: str, method: str) -> Json:
        path = f"/api/v1/namespaces/akash/pods/{pod}:26657/proxy/{method}"
        found: Json = self.raw(path)["result"]
        return found

    def prometheus(self, path: str) -> Any:
        service = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/"
        return self.raw(service + path)["data"]

    def waiting(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Names and labels of alerts that would fire if it stayed so for as long as they wait."""
        for alert in self.prometheus("alerts")["alerts"]:
            if alert["state"] == "pending":
                yield alert["labels"]["alertname"], alert["labels"]

    def signal(self, program: str, name: str, variables: Mapping[str, str] | None = None) -> None:
        """Send a signal to the host's processes of a program, or those with these variables."""
        lines = (f"{k}={v}" for k, v in (variables or {}).items())
        wanted = "".join(f" && tr '\\0' '\\n' < /proc/$p/environ | grep -qx {x}" for x in lines)
        loop = f"for p in $(pgrep -x {program}); do true{wanted} && kill -{name} $p && n=1; done"
        self.on_host(f"n=0; {loop}; [ $n = 1 ]")


def pod(name: str, command: list[str], **annotations: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {
            "nodeName": HOST,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "c",
                    "image": BUSYBOX,
                    "imagePullPolicy": "Never",
                    "command": command,
                    "ports": [{"containerPort": 9999}],
                }
            ],
        },
    }
