"""What a stack file says of the vault."""

from __future__ import annotations

from typing import Literal

import pydantic

from disco.layers.platform.quorum import Quorum
from disco.layers.platform.vault_clients import VaultClient, refuse_wrong_paths
from disco.layers.platform.vault_seal import Seal
from disco.stack.model import Model, var
from disco.stack.secret import SecretName


class VaultSpec(Model):
    """OpenBao."""

    replicas: Literal[1, 3, 5] = var(1)
    """Pods that hold the data; 3 survive the loss of one, 5 of two. They can become more."""
    storage: str = var("1Gi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of each pod's volume; it can't be changed later."""
    holders: tuple[str, ...] = var(())
    """Members of the team who get a share of its key each, which only they can read. None: the
    store has the key, and `disco apply` unseals by itself."""
    threshold: int = var(1, ge=1)
    """So many holders have to give their share, each with `disco vault unseal`."""
    seal: Seal | None = None
    """Whose key opens it when a pod starts; none: the store's own, or shares. Holders have recovery
    shares then, for other ones and for a root token. It can't be changed later."""
    values: dict[str, dict[str, SecretName]] = var({}, max_length=64)
    """What it gets from the store: a path below `kv/`, and fields with secrets of the store, as
    `kv/akash/faucet: {key: "${secret:akash/faucet}"}`. Taken out again, it stays in the vault."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.model_validator(mode="after")
    def _can_be_opened(self) -> VaultSpec:
        if len(set(self.holders)) < len(self.holders):
            raise ValueError("a holder is named twice")
        if self.threshold > max(len(self.holders), 1):
            raise ValueError(f"{self.threshold} shares need as many holders")
        if self.threshold < 2 <= len(self.holders):
            raise ValueError("with two holders or more, threshold is at least 2")
        return self

    @pydantic.field_validator("values")
    @classmethod
    def _placed(cls, values: dict[str, dict[str, SecretName]]) -> dict[str, dict[str, SecretName]]:
        refuse_wrong_paths(values)
        return values

    @property
    def quorum(self) -> Quorum:
        return Quorum(tuple(sorted(self.holders)), self.threshold)


class VaultWithClients(VaultSpec):
    """What a stack file says, and what its components declare of the vault."""

    clients: tuple[VaultClient, ...] = ()
    """Who gets in from the cluster, and what for."""
