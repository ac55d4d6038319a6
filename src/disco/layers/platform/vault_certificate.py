"""The certificate that the vault shows: what it is for, and how its pods take a new one.

A pod reads its certificate when it starts, and when it is told to: a new one needs no restart,
which would seal it. The kubelet brings a changed Secret into a running pod within a minute or so,
and at once where something else of the pod changes; so the pod is marked with what it is to show.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from disco.checks.counted import counted
from disco.engine.check import Answer
from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import SecretRef, Text
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.platform.openbao import (
    AUTHORITY,
    CERTIFICATE,
    HOSTS,
    NAME,
    NAMESPACE,
    OpenBao,
    VaultAction,
)
from disco.store import certificates
from disco.store.actions import Certify
from disco.store.store import Store

IN_CLUSTER = f"{NAME}-tls"  # the Kubernetes Secret
SHOWS = "disco.network/certificate"
RELOAD = ["sh", "-c", "kill -HUP 1"]
RELOAD_S = 150.0  # the kubelet looks at its pods once a minute, by itself
RED_DAYS = 30

CERTIFY = Certify(CERTIFICATE, AUTHORITY, HOSTS)


@dataclass(frozen=True)
class ReloadVault(VaultAction):
    """Every pod that shows another certificate than the store has takes that one, and stays as
    unsealed as it is."""

    kind: ClassVar[str] = "vault-reload"
    replicas: int

    def describe(self) -> str:
        return "have the vault's pods take their certificate, without a restart"

    def command(self) -> str:
        told = " ".join(RELOAD[:2])
        return "\n".join(
            f"kubectl -n {NAMESPACE} exec {NAME}-{i} -- {told} '{RELOAD[2]}'"
            for i in range(self.replicas)
        )


def objects(labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The vault's namespace, and what its pods show there."""
    yield {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": dict(labels)},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": IN_CLUSTER, "namespace": NAMESPACE, "labels": dict(labels)},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": Text.of(SecretRef(CERTIFICATE, "crt")),
            "tls.key": Text.of(SecretRef(CERTIFICATE, "key")),
            "ca.crt": Text.of(SecretRef(AUTHORITY, "crt")),
        },
    }


async def others(bao: OpenBao, store: Store, replicas: int) -> dict[int, str]:
    """The pods that show another certificate than the store has -> what. One that shows none is not
    among them: it loads the newest when it starts."""
    wanted = store.lookup(SecretRef(CERTIFICATE, "crt")).strip()

    async def one(pod: int) -> str:
        try:
            return (await bao.shown(pod)).strip()
        except DiscoError:
            return wanted

    shown = await asyncio.gather(*(one(pod) for pod in range(replicas)))
    return {pod: crt for pod, crt in enumerate(shown) if crt != wanted}


class Reloader:
    """Carries it out."""

    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def __call__(self, action: ReloadVault, report: Report) -> None:
        bao = OpenBao(self._kube, action.cluster, self._store.lookup)

        async def test() -> str:
            left = await others(bao, self._store, action.replicas)
            for pod in left:
                await self._tell(action, pod)
            return ", ".join(f"{NAME}-{pod} shows an older one" for pod in left)

        await self._kube.until(
            action.cluster,
            "the vault shows its certificate",
            test,
            RELOAD_S,
            lambda n: report(n, None),
            pause_s=1.0,
        )

    async def _tell(self, action: ReloadVault, pod: int) -> None:
        crt = self._store.lookup(SecretRef(CERTIFICATE, "crt"))
        mark = hashlib.sha256(crt.encode()).hexdigest()[:32]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{NAME}-{pod}"
        with translated(action.cluster, f"mark {NAME}-{pod}"):
            answer = await self._kube.http(action.cluster).patch(
                path,
                content=json.dumps({"metadata": {"annotations": {SHOWS: mark}}}),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            answer.raise_for_status()
        await self._kube.run_in(action.cluster, f"{NAMESPACE}/{NAME}-{pod}", NAME, RELOAD)


async def ask(bao: OpenBao, store: Store, replicas: int) -> Answer:
    """Whether each pod shows the store's certificate, and it is one to be believed."""
    crt = store.lookup(SecretRef(CERTIFICATE, "crt"))
    ca = store.lookup(SecretRef(AUTHORITY, "crt"))
    shown: dict[str, str | DiscoError] = {}
    for pod in range(replicas):
        try:
            shown[f"{NAME}-{pod}"] = await bao.shown(pod)
        except DiscoError as error:
            shown[f"{NAME}-{pod}"] = error
    return judged(shown, crt, ca)


def judged(shown: Mapping[str, str | DiscoError], crt: str, ca: str) -> Answer:
    """shown: by each pod, PEM, or why there is nothing. crt, ca: of the store."""
    faults = {}
    for pod, found in shown.items():
        if isinstance(found, DiscoError):
            faults[pod] = f"shows none: {found.why or found.what}"
            continue
        wrong = certificates.fault(found, ca, HOSTS, RED_DAYS)
        same = found.strip() == crt.strip()
        faults[pod] = wrong or ("" if same else "is not the one in the store")
    if any(faults.values()):
        return counted(faults, "certificates in order", "")
    return counted(
        faults, "certificates in order", f"until {certificates.ends(crt):%Y-%m-%d}, {HOSTS[0]}"
    )
