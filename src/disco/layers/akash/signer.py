"""Validators' keys on signers of their own: where they live, and the order in which they move.

A key is at one place: its validator's volume or its signer's. It moves so, and a failure anywhere
leaves the validator without a signer, never with two:

    the lease in the store names this cluster
    the validators' pods are replaced by ones without the key, which tell what they had signed
    the lease goes to the signer, with that; from here on nothing signs without it
    the signer's gate lays it on the signer's volume
    the store notes that signing begins; then the signer may start

And so back, where the file has no signers any more:

    the signers' pods are replaced by ones without the key, which tell what they had signed
    the lease goes to the validator, with that; from here on no signer's gate opens
    the validators' pods are replaced by ones with the key, whose own gate lays it on their volumes
    what is left of the signers goes, their volumes last
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from disco.chains import lease as leases
from disco.chains.validators import ValidatorKeys
from disco.engine.action import Action
from disco.engine.secret import KeptRef, SecretRef, Text
from disco.kube.access import Cluster

PORT = 26658
RELEASE, CHART = "signer", "signer"
KEYS, NODE_KEYS = "keys", "node-keys"  # Secrets of the validators' pods: with their keys, without
LEASES, BEGUN, KEY = "leases", "begun", "signer-key"
LISTEN = "PRIV_VALIDATOR_LADDR"
MARGIN_BLOCKS = 10


@dataclass(frozen=True)
class Key:
    """A validator's key: the pod that votes with it, and its address in the store."""

    validator: str
    address: SecretRef


def keys_of(validators: tuple[ValidatorKeys, ...]) -> tuple[Key, ...]:
    return tuple(Key(v.name, v.address) for v in validators)


def set_of(number: int) -> str:
    return f"signer-{number}"


def pod_of(number: int) -> str:
    return f"{set_of(number)}-0"


def set_path(namespace: str, number: int) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{set_of(number)}"


def claim_of(number: int) -> str:
    return f"state-{pod_of(number)}"


@dataclass(frozen=True)
class LeaseAction(Action):
    """chain: the name of the entry, its namespace, and its folder in the store."""

    cluster: Cluster
    chain: str
    chain_id: str
    keys: tuple[Key, ...]

    @property
    def touches(self) -> str:
        return f"{self.cluster.name}:leases/{self.chain}"

    @property
    def many(self) -> str:
        return "1 validator key" if len(self.keys) == 1 else f"{len(self.keys)} validator keys"


@dataclass(frozen=True)
class TakeLease(LeaseAction):
    """The keys are this cluster's to sign with, or nobody here may. place: where they are to be."""

    kind: ClassVar[str] = "lease"
    place: str = leases.HOME

    def describe(self) -> str:
        return f"lease {self.many} of {self.chain} to this cluster"

    def command(self) -> str:
        return f"disco signer status {self.chain}  # kept/leases/ADDRESS.json in the store"


@dataclass(frozen=True)
class HandOver(LeaseAction):
    """The keys go from the validators to their signers, with what they have signed."""

    kind: ClassVar[str] = "hand-over"

    def describe(self) -> str:
        return f"take {self.many} of {self.chain} from its pods, and what they signed"

    def command(self) -> str:
        return f"kubectl -n {self.chain} delete secret {KEYS}  # and note what its pods had signed"


@dataclass(frozen=True)
class HandBack(LeaseAction):
    """The keys go from the signers to their validators, with what they have signed."""

    kind: ClassVar[str] = "hand-back"

    def describe(self) -> str:
        return f"take {self.many} of {self.chain} from its signers, and what they signed"

    def command(self) -> str:
        gone = " ".join(key_paths(self.chain, len(self.keys)))
        return f"kubectl delete --raw {gone}  # and note what its signers had signed"


@dataclass(frozen=True)
class TakeUp(LeaseAction):
    """The validators' pods have their keys again, each on a volume that knows what was signed."""

    kind: ClassVar[str] = "take-up"
    within_s: float = 180.0

    def describe(self) -> str:
        return f"wait until the validators of {self.chain} have their keys and what was signed"

    def command(self) -> str:
        return f"kubectl -n {self.chain} delete pod {' '.join(k.validator for k in self.keys)}"


@dataclass(frozen=True)
class BeginSigning(LeaseAction):
    """What the keys have signed is on the signers' volumes; from here on it must stay there."""

    kind: ClassVar[str] = "begin-signing"
    within_s: float = 180.0

    def describe(self) -> str:
        return f"wait until the signers of {self.chain} have what was signed, and note it"

    def command(self) -> str:
        return f"kubectl -n {self.chain} get pods  # until gate of each signer has ended"


@dataclass(frozen=True)
class EndLease(LeaseAction):
    """Nobody signs with the keys any more, as soon as the pods are gone that did.

    keeps: what they signed counts on. ground_goes: the cluster is taken down with them, and is not
    waited for; then the lease goes to the stack's next cluster alone.
    """

    kind: ClassVar[str] = "end-lease"
    keeps: bool = False
    ground_goes: bool = False

    def describe(self) -> str:
        return f"end the lease of {self.many} of {self.chain}"

    def command(self) -> str:
        return f"disco signer status {self.chain}"


@dataclass(frozen=True)
class TakeOver(LeaseAction):
    """The keys are this cluster's, by a person's word that whoever had them is gone for good.

    height: nothing up to it is signed again; why: what that person says.
    """

    kind: ClassVar[str] = "take-over"
    height: int = 0
    why: str = ""

    def describe(self) -> str:
        return (
            f"take {self.many} of {self.chain} over, to sign above height {self.height} or what "
            f"is known to be signed: {self.why}"
        )

    def command(self) -> str:
        return f"disco signer take {self.chain} --destroyed {self.why!r} --height {self.height}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"every other signer's right to sign with {self.many} of {self.chain}",)


@dataclass(frozen=True)
class NoteSigned(LeaseAction):
    """What the keys have signed by now is written into their leases."""

    kind: ClassVar[str] = "note-signed"

    def describe(self) -> str:
        return f"note what {self.many} of {self.chain} have signed"

    def command(self) -> str:
        return f"kubectl -n {self.chain} exec {pod_of(0)} -- cat /state/state.json"


def leases_object(namespace: str, keys: tuple[Key, ...]) -> dict[str, Any]:
    """What the gates of the pods compare their volumes with."""
    data = {k.validator: Text.of(KeptRef(leases.lines_name(namespace, k.validator))) for k in keys}
    return _config_map(namespace, LEASES, data)


def begun_object(namespace: str, keys: tuple[Key, ...]) -> dict[str, Any]:
    data = {k.validator: Text.of(KeptRef(leases.begun_name(namespace, k.validator))) for k in keys}
    return _config_map(namespace, BEGUN, data)


def _config_map(namespace: str, name: str, data: dict[str, Text]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def objects(namespace: str, validators: tuple[ValidatorKeys, ...]) -> Iterator[dict[str, Any]]:
    """A Secret for each key, that no pod but its signer's has, and the leases."""
    for number, validator in enumerate(validators):
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": f"{KEY}-{number}", "namespace": namespace},
            "stringData": {"priv_validator_key.json": Text.of(validator.validator_key)},
        }
    yield leases_object(namespace, keys_of(validators))


def key_paths(namespace: str, signers: int) -> tuple[str, ...]:
    """Of the Secrets that give signers their keys."""
    return tuple(f"/api/v1/namespaces/{namespace}/secrets/{KEY}-{i}" for i in range(signers))


def left_paths(namespace: str, signers: int) -> tuple[str, ...]:
    """What signers have beside their release, and what validators have because of them."""
    place = f"/api/v1/namespaces/{namespace}"
    claims = (f"{place}/persistentvolumeclaims/{claim_of(i)}" for i in range(signers))
    others = (f"{place}/secrets/{NODE_KEYS}", f"{place}/configmaps/{BEGUN}")
    return (*key_paths(namespace, signers), *others, *claims)


def values(
    namespace: str, image: str, chain_id: str, validators: tuple[ValidatorKeys, ...], version: Text
) -> dict[str, Any]:
    return {
        "name": namespace,
        "image": image,
        "chainId": chain_id,
        "validators": [v.name for v in validators],
        "port": PORT,
        "secretPrefix": KEY,
        "keysVersion": version,
        "leasesConfigMap": LEASES,
        "begunConfigMap": BEGUN,
    }
