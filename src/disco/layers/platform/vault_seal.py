"""What opens the vault by itself: a key that somebody else keeps, and that it may ask for.

The vault's root key is encrypted by that key, and each pod has it decrypted when it starts. Shares
are recovery shares then: as many of them as it takes make new ones, or a root token, and none of
them opens the vault. Names of settings and variables: OpenBao 2.7, docs/configuration/seal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from disco.engine.secret import SecretRef, Text
from disco.layers.platform.openbao import NAMESPACE
from disco.stack.model import Model, var
from disco.stack.secret import SecretName

IN_CLUSTER = "openbao-seal"
FOLDER = "/etc/seal"
AUTHORITY, CREDENTIALS = "authority.pem", "credentials.json"  # files there
URL = r"^https?://[^@\s/?#]+(:\d+)?$"
WORD = r"^[A-Za-z0-9._-]+$"
Settings = dict[str, str]


class Transit(Model):
    """The transit engine of another OpenBao or Vault."""

    url: str = var(pattern=URL)
    """Its address, as `https://vault.example.org:8200`."""
    key: str = var(pattern=WORD)
    """The key's name there, of a kind that encrypts."""
    mount: str = var("transit", pattern=r"^[A-Za-z0-9._/-]+$")
    """Where the engine is."""
    token: SecretName
    """A token that may update `MOUNT/encrypt/KEY` and `MOUNT/decrypt/KEY`, and is renewed by being
    used (`-period`)."""
    authority: str = ""
    """The certificate of the authority that signed the server's own, PEM; none for a public one."""

    def settings(self) -> Settings:
        verified = {"tls_ca_cert": f"{FOLDER}/{AUTHORITY}"} if self.authority else {}
        return {
            "address": self.url,
            "key_name": self.key,
            "mount_path": f"{self.mount.strip('/')}/",
            **verified,
        }

    def variables(self) -> dict[str, SecretName]:
        return {"VAULT_TOKEN": self.token}

    def files(self) -> dict[str, Text]:
        return {AUTHORITY: Text.of(self.authority)} if self.authority else {}


class AwsKms(Model):
    """AWS Key Management Service."""

    region: str = var(pattern=WORD)
    """Where the key is."""
    key: str = var(pattern=r"^[^\s\"]+$")
    """Its id or ARN."""
    endpoint: str = var("", pattern=rf"{URL}|^$")
    """Another address than AWS's own."""
    access_key: SecretName | None = None
    """The id of an access key; none where the servers' own role may use the key."""
    secret_key: SecretName | None = None
    """The secret half of it."""

    @pydantic.model_validator(mode="after")
    def _whole_login(self) -> AwsKms:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key need each other")
        return self

    def settings(self) -> Settings:
        elsewhere = {"endpoint": self.endpoint} if self.endpoint else {}
        return {"region": self.region, "kms_key_id": self.key, **elsewhere}

    def variables(self) -> dict[str, SecretName]:
        if not self.access_key or not self.secret_key:
            return {}
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def files(self) -> dict[str, Text]:
        return {}


class GcpKms(Model):
    """Google Cloud Key Management."""

    project: str = var(pattern=WORD)
    """The project of the key."""
    region: str = var(pattern=WORD)
    """Its location, as `global`."""
    key_ring: str = var(pattern=WORD)
    """The ring that it is in."""
    key: str = var(pattern=WORD)
    """Its name."""
    credentials: SecretName
    """The key file of a service account that may use it, JSON."""

    def settings(self) -> Settings:
        return {
            "project": self.project,
            "region": self.region,
            "key_ring": self.key_ring,
            "crypto_key": self.key,
            "credentials": f"{FOLDER}/{CREDENTIALS}",
        }

    def variables(self) -> dict[str, SecretName]:
        return {}

    def files(self) -> dict[str, Text]:
        return {CREDENTIALS: Text.of(SecretRef.of(self.credentials))}


class AzureKeyVault(Model):
    """Azure Key Vault."""

    tenant: str = var(pattern=WORD)
    """The directory's id."""
    vault: str = var(pattern=WORD)
    """The name of the key vault."""
    key: str = var(pattern=WORD)
    """The key's name in it."""
    client: str = var(pattern=WORD)
    """The id of an application that may use it."""
    client_secret: SecretName
    """The secret of that application."""

    def settings(self) -> Settings:
        return {
            "tenant_id": self.tenant,
            "client_id": self.client,
            "vault_name": self.vault,
            "key_name": self.key,
        }

    def variables(self) -> dict[str, SecretName]:
        return {"AZURE_CLIENT_SECRET": self.client_secret}

    def files(self) -> dict[str, Text]:
        return {}


class Seal(Model):
    """Whose key opens the vault when a pod of it starts; exactly one."""

    transit: Transit | None = None
    """The transit engine of another vault."""
    awskms: AwsKms | None = None
    """AWS KMS."""
    gcpckms: GcpKms | None = None
    """Google Cloud KMS."""
    azurekeyvault: AzureKeyVault | None = None
    """Azure Key Vault."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> Seal:
        if len(self._named) != 1:
            raise ValueError(f"name one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def _named(self) -> dict[str, Transit | AwsKms | GcpKms | AzureKeyVault]:
        return {n: found for n in type(self).model_fields if (found := getattr(self, n))}

    @property
    def kind(self) -> str:
        """As OpenBao names it."""
        return next(iter(self._named))

    @property
    def _chosen(self) -> Transit | AwsKms | GcpKms | AzureKeyVault:
        return self._named[self.kind]

    @property
    def key(self) -> tuple[str, Settings]:
        """What another one can't stand in for: where the key is, not how it is asked."""
        ways = {"address", "endpoint", "tls_ca_cert", "credentials", "client_id"}
        settings = self._chosen.settings()
        return self.kind, {n: v for n, v in settings.items() if n not in ways}

    @property
    def data(self) -> dict[str, Text]:
        """Of the Secret: what the pods ask with."""
        held = {n: Text.of(SecretRef.of(s)) for n, s in self._chosen.variables().items()}
        return held | self._chosen.files()

    def values(self) -> dict[str, Any]:
        """Of the chart."""
        return {
            "kind": self.kind,
            "settings": self._chosen.settings(),
            "secretName": IN_CLUSTER,
            "variables": sorted(self._chosen.variables()),
        }


def secret(seal: Seal, labels: Mapping[str, str]) -> dict[str, Any]:
    """The Secret in the cluster; empty where the servers' own role is asked with."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": IN_CLUSTER, "namespace": NAMESPACE, "labels": dict(labels)},
        "type": "Opaque",
        "stringData": seal.data,
    }
