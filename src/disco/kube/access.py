"""How a cluster is reached: its address and its certificate authority, nothing captured from it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.engine.secret import SecretRef


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes API.

    server: `https://host:port`, as this machine reaches it.
    authority: the secret with the cluster's CA (fields `crt` and `key`). A client certificate for
    the administrator is signed with it when needed, so no credential has to be fetched.
    """

    name: str
    server: str
    authority: str

    @property
    def ca(self) -> SecretRef:
        return SecretRef(self.authority, "crt")

    @property
    def ca_key(self) -> SecretRef:
        return SecretRef(self.authority, "key")


def kubeconfig(cluster: Cluster, ca_crt: str, crt: str, key: str) -> dict[str, Any]:
    """A kubeconfig with everything in it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster.name,
        "clusters": [
            {
                "name": cluster.name,
                "cluster": {
                    "server": cluster.server,
                    "certificate-authority-data": _b64(ca_crt),
                },
            }
        ],
        "users": [
            {
                "name": f"{cluster.name}-admin",
                "user": {"client-certificate-data": _b64(crt), "client-key-data": _b64(key)},
            }
        ],
        "contexts": [
            {
                "name": cluster.name,
                "context": {"cluster": cluster.name, "user": f"{cluster.name}-admin"},
            }
        ],
    }


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PREFIX = "disco-kube-"


class PrivateFolder:
    """A folder in memory where there is one, readable by nobody else, gone with `close`.

    What a killed process left is removed by the next one.
    """

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        where = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        _sweep(where)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=where))

    def write(self, name: str, content: str) -> Path:
        path = self.path / name
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as f:
            f.write(content)
        return path

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def render(config: dict[str, Any]) -> str:
    """JSON is YAML; kubectl and helm read it."""
    return json.dumps(config, indent=2) + "\n"


def _sweep(where: Path) -> None:
    """Remove the folders of this account's processes that are gone."""
    for left in where.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
