"""An API server of the tests' own, with its etcd: what asks Kubernetes is asked by nothing less."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from charts_helm import Object, program
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from signed_network import free_port

ADMIN, GROUP = "admin-canary", "system:masters"
WITHIN_S = 90


@dataclass(frozen=True)
class Api:
    """Run in `folder`, which has what it wrote."""

    folder: Path
    port: int

    def kubeconfig(self, token: str) -> Path:
        """As whoever has this token."""
        server = f"https://127.0.0.1:{self.port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "a", "cluster": {"server": server, "insecure-skip-tls-verify": True}}
            ],
            "users": [{"name": "a", "user": {"token": token}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        path = self.folder / f"kubeconfig-{token}"
        path.write_text(json.dumps(config))
        return path

    def apply(self, objects: Sequence[Object]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self._kubectl("apply", "-f", "-", stdin=text)

    def _kubectl(self, *words: str, stdin: str = "") -> None:
        command = [program("kube"), "kubectl", f"--kubeconfig={self.kubeconfig(ADMIN)}", *words]
        done = subprocess.run(
            command, input=stdin, text=True, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def ready(self) -> bool:
        command = [program("kube"), "kubectl", f"--kubeconfig={self.kubeconfig(ADMIN)}"]
        asked = [*command, "get", "--raw=/readyz"]
        return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def api_server(folder: Path, users: dict[str, str]) -> Iterator[Api]:
    """users: token -> name, besides an admin. Who may do what is decided by RBAC."""
    port, etcd, peers = free_port(), free_port(), free_port()
    lines = [f'{ADMIN},admin,1,"{GROUP}"', *(f"{t},{name},{t}" for t, name in users.items())]
    (folder / "tokens").write_text("".join(f"{line}\n" for line in lines))
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (folder / "accounts.key").write_bytes(key)
    made = Api(folder, port)
    with ExitStack() as running, (folder / "log").open("ab") as log:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([program("kube"), *command], stdout=log, stderr=log)
            running.callback(process.wait)
            running.callback(process.kill)
            return process

        start(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
            "--unsafe-no-fsync",
        )
        server = start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default",
            f"--service-account-key-file={folder / 'accounts.key'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            "--disable-admission-plugins=ServiceAccount",
        )
        ends = time.monotonic() + WITHIN_S
        while not made.ready():
            assert server.poll() is None and time.monotonic() < ends, (folder / "log").read_text()
            time.sleep(0.2)
        yield made
