"""From nothing running to checks green, warm; beside the same by bare commands, in one run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure import disco, line, load, process
from disco.artifacts import Artifacts
from disco.engine.place import Place
from disco.engine.secret import SecretRef
from disco.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
NETWORK = "10.88.220"
CLUSTER_ONLY = f"""name: benchc
servers: {{provider: local, count: 1, network: {NETWORK}.0/24}}
kubernetes: {{}}
"""
WHOLE = f"""name: benchw
servers: {{provider: local, count: 1, network: {NETWORK}.0/24}}
kubernetes: {{}}
prometheus: {{}}
vault: {{}}
chains:
  akash: {{validators: 1}}
"""
SETS = ("node", "network", "storage", "metrics", "vault", "akash")
BINS = (
    "kube",
    "apiproxy",
    "flannel-cni",
    "containerd",
    "ctr",
    "containerd-shim-runc-v2",
    "helm",
)
RELEASES = {
    "network": "kube-network",
    "storage": "kube-storage",
    "metrics-server": "kube-system",
    "prometheus": "monitoring",
    "openbao": "vault",
    "akash": "akash",
}
NODE_FILES = (
    "etc/disco etc/sysctl.d/90-disco.conf "
    "etc/systemd/system/disco-containerd.service etc/systemd/system/kubelet.service "
    "etc/systemd/system/disco-apiproxy.service"
)


def run() -> None:
    with_servers("up", "warm up", _measure)


def with_servers(name: str, title: str, measure: Callable[[Path], None]) -> None:
    """Run a benchmark that boots servers, in a folder of its own."""
    if os.geteuid() != 0:
        print(f"## {name}: not run, local servers need root")
        return
    print(f"## {title} ({load()})")
    folder = Path(tempfile.mkdtemp(prefix="disco-bench-"))
    try:
        measure(folder)
    finally:
        if not list(folder.rglob("keeper.json")):  # else a host still runs from there
            shutil.rmtree(folder)


def _measure(folder: Path) -> None:
    cluster_s = measured_up(_stack(folder, "cluster", CLUSTER_ONLY), lambda file: None, "apply")
    line("servers and cluster alone", f"{cluster_s:.1f} s", "aim: ≤ 25 s")
    inputs = folder / "inputs"
    inputs.mkdir()
    whole_s = measured_up(_stack(folder, "whole", WHOLE), lambda file: _while_up(file, inputs))
    line("up, from nothing to checks green", f"{whole_s:.1f} s", "aim: ≤ 60 s")
    hand = _by_hand(inputs)
    for name, seconds in hand.items():
        line(f"  by hand: {name}", f"{seconds:.1f} s")
    line("disco up / by hand", f"{whole_s / hand['total']:.2f}×", "aim: ≤ 1.5×")


def _stack(folder: Path, name: str, text: str) -> Path:
    file = folder / name / "stack.yaml"
    file.parent.mkdir()
    file.write_text(text)
    return file


def measured_up(file: Path, then: Any, verb: str = "up") -> float:
    """Seconds of `disco up` (or `apply`); the stack is taken down at the end in any case."""
    begun = time.monotonic()
    try:
        run_disco(verb, "--yes", "-f", str(file))
        took = time.monotonic() - begun
        then(file)
        return took
    finally:
        run_disco("down", "--yes", "--allow-destroy", "-f", str(file))


def run_disco(*words: str) -> str:
    done = subprocess.run(disco(*words), capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"disco {words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _while_up(file: Path, inputs: Path) -> None:
    noop = process(disco("apply", "--yes", "-f", str(file)), times=3)
    line("apply that changes nothing", f"{noop.wall_s:.2f} s", "aim: ≤ 3 s")
    plan = process(disco("plan", "-f", str(file)), times=3)
    line("plan", f"{plan.wall_s:.2f} s", "aim: ≤ 2 s")
    _gather(file, inputs)


def _gather(file: Path, inputs: Path) -> None:
    """What the same takes by hand: artifacts, a node's files, values, keys and genesis."""
    artifacts = Artifacts()
    (inputs / "bin").mkdir()
    (inputs / "images").mkdir()
    (inputs / "values").mkdir()
    for name in BINS:
        (inputs / "bin" / name).symlink_to(_held(artifacts, name))
    for name in SETS:
        (inputs / "images" / f"{name}.tar").symlink_to(_held(artifacts, f"images/{name}"))
    (inputs / "base").symlink_to(_held(artifacts, "rootfs"))
    (inputs / "charts").symlink_to(ROOT / "charts")
    store = Store(Place.of(file, "benchw"))
    for path, ref in {
        "id": SecretRef("servers/login", "private"),
        "host_key": SecretRef("servers/h1/host-key", "private"),
        "host_key.pub": SecretRef("servers/h1/host-key", "public"),
    }.items():
        (inputs / path).touch(mode=0o600)
        (inputs / path).write_text(store.lookup(ref))
    (inputs / "address").write_text(f"{NETWORK}.11")
    (inputs / "gateway").write_text(f"{NETWORK}.1")
    root = Place.of(file, "benchw").hosts / "h1" / "root"
    subprocess.run(
        ["tar", "-C", str(root), "-cf", str(inputs / "node.tar"), *NODE_FILES.split()], check=True
    )
    for release, namespace in RELEASES.items():
        values = _values(file, release, namespace)
        (inputs / "values" / f"{release}.json").write_text(values)
    (inputs / "objects.json").write_text(json.dumps(_objects(file)))


def _held(artifacts: Artifacts, name: str) -> Path:
    held = artifacts.held(name)
    assert held, name
    return held.path


def _values(file: Path, release: str, namespace: str) -> str:
    config = file.parent / "kubeconfig"
    if not config.exists():
        config.touch(mode=0o600)
        config.write_text(run_disco("kubeconfig", "-f", str(file)))
    helm = _held(Artifacts(), "helm")
    return subprocess.run(
        [str(helm), "get", "values", release, "-n", namespace, "-o", "json"],
        env={**os.environ, "KUBECONFIG": str(config)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _objects(file: Path) -> dict[str, Any]:
    """Namespace, keys and genesis of the chain, without what the server added."""
    items = []
    for kind, name in (("namespace", "akash"), ("configmap", "genesis"), ("secret", "keys")):
        text = run_disco(
            "kubectl", "-f", str(file), "--", "-n", "akash", "get", kind, name, "-o", "json"
        )
        found = json.loads(text)
        meta = found["metadata"]
        found["metadata"] = {k: meta[k] for k in ("name", "namespace") if k in meta}
        found.pop("status", None)
        items.append(found)
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _by_hand(inputs: Path) -> dict[str, float]:
    script = Path(__file__).with_name("by_hand.sh")
    done = subprocess.run(
        ["bash", str(script), str(inputs)], capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"by hand: {done.returncode}\n{done.stdout}{done.stderr[-2000:]}")
    rows = (row.split() for row in done.stdout.splitlines())
    return {name: float(seconds) for name, seconds in rows}
