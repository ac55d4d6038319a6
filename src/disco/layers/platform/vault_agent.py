"""How a secret comes into a pod: OpenBao's own agent runs beside its containers.

The agent logs in as the pod's service account, writes each secret to a file in the pod's memory,
and asks for it again in short intervals: a changed value is there without a restart, replaced as a
whole. Its token stays in its own memory. It is a container that the kubelet starts before the
others, and starts again when it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from disco.engine.secret import SecretRef, VersionRef
from disco.layers.platform.openbao import AUTHORITY, NAME, URL
from disco.layers.platform.vault_clients import TLS, VaultCertificate
from disco.layers.platform.vault_pki import MOUNT

CONTAINER = "vault-agent"
FOLDER = "/vault"  # in the pod, where the files are
OWN = "/vault-agent"
VOLUME, OWN_VOLUME = "vault", "vault-agent"
CONFIG, AUTHORITY_CONFIG = "vault-agent", "vault-authority"  # ConfigMaps of the namespace
TOKEN_S = 600  # of the service account's token; the kubelet brings another one in time
Json = dict[str, Any]


@dataclass(frozen=True)
class Agent:
    """One pod's. role: that it logs in with. files: name -> `kv/PATH#FIELD`. refresh: a duration as
    OpenBao writes them. wait: other containers start when all files are there.

    It reads the vault's authority once: another one is another container."""

    image: str
    role: str
    files: Mapping[str, str] = field(hash=False)
    refresh: str = "30s"
    wait: bool = True
    certificate: VaultCertificate | None = None

    @property
    def delivered(self) -> tuple[str, ...]:
        """The files' names."""
        return (*sorted(self.files), *((TLS,) if self.certificate else ()))

    @property
    def config(self) -> str:
        """JSON, as the agent takes it."""
        login = {"role": self.role, "token_path": f"{OWN}/token"}
        method = {
            "type": "kubernetes",
            "mount_path": "auth/kubernetes",
            "config": login,
            "min_backoff": "1s",
            "max_backoff": "10s",
        }
        return json.dumps(
            {
                "vault": {"address": URL, "ca_cert": f"{OWN}/ca.crt"},
                "auto_auth": {"method": [method]},
                "template_config": {"static_secret_render_interval": self.refresh},
                "template": [
                    *(self._template(n, f) for n, f in sorted(self.files.items())),
                    *([self._certificate(self.certificate)] if self.certificate else ()),
                ],
            },
            indent=1,
            sort_keys=True,
        )

    def _certificate(self, wanted: VaultCertificate) -> Json:
        """Key, certificate and who signed it in one file: never one of them without the others."""
        asked = {
            "common_name": wanted.names[0],
            "alt_names": ",".join(wanted.names[1:]),
            "ttl": wanted.lasts,
        }
        told = " ".join(f'"{k}={v}"' for k, v in asked.items() if v)
        return {
            "destination": f"{FOLDER}/{TLS}",
            "contents": f'{{{{ with pkiCert "{MOUNT}/issue/{self.role}" {told} }}}}'
            "{{ .Key }}{{ .Cert }}{{ .CA }}{{ end }}",
            "perms": "0400",
        }

    def _template(self, name: str, source: str) -> Json:
        path, _, key = source.partition("#")
        found = f"kv/data/{path.removeprefix('kv/')}"
        return {
            "destination": f"{FOLDER}/{name}",
            "contents": f'{{{{ with secret "{found}" }}}}{{{{ index .Data.data "{key}" }}}}'
            "{{ end }}",
            "perms": "0400",
            "error_on_missing_key": True,
        }

    def objects(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Json]:
        """What its pod mounts, in the pod's namespace."""
        data: dict[str, dict[str, str | SecretRef]] = {
            AUTHORITY_CONFIG: {"ca.crt": SecretRef(AUTHORITY, "crt")},
            CONFIG: {"agent.json": self.config},
        }
        for name, content in data.items():
            yield {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
                "data": content,
            }

    @property
    def container(self) -> Json:
        """Among the pod's initContainers, the first. Another configuration is another container."""
        missing = " && ".join(f"test -s {FOLDER}/{n}" for n in self.delivered)
        probe = {
            "exec": {"command": ["sh", "-c", missing]},
            "periodSeconds": 1,
            "failureThreshold": 3600,
        }
        return {
            "name": CONTAINER,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "command": ["bao", "agent", f"-config={OWN}/agent.json"],
            "env": [
                {"name": "HOME", "value": FOLDER},
                {"name": "AUTHORITY", "value": VersionRef(AUTHORITY)},
                {"name": "CONFIG", "value": hashlib.sha256(self.config.encode()).hexdigest()[:16]},
            ],
            **({"startupProbe": probe} if self.wait else {}),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {
                "requests": {"cpu": "5m", "memory": "32Mi"},
                "limits": {"memory": "256Mi"},
            },
            "volumeMounts": [
                {"name": VOLUME, "mountPath": FOLDER},
                {"name": OWN_VOLUME, "mountPath": OWN, "readOnly": True},
            ],
        }

    @property
    def volumes(self) -> list[Json]:
        token = {"path": "token", "audience": NAME, "expirationSeconds": TOKEN_S}
        return [
            {"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
            {
                "name": OWN_VOLUME,
                "projected": {
                    "sources": [
                        {"configMap": {"name": AUTHORITY_CONFIG}},
                        {"configMap": {"name": CONFIG}},
                        {"serviceAccountToken": token},
                    ]
                },
            },
        ]

    @property
    def mount(self) -> Json:
        """Of the containers that read the files."""
        return {"name": VOLUME, "mountPath": FOLDER, "readOnly": True}
