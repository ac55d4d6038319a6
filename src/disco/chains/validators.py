"""The keys of validators and how they find each other; two validators with one key never start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from disco.chains.keys import Account
from disco.engine.errors import DiscoError
from disco.engine.secret import Lookup, SecretRef, Text
from disco.store.actions import Remember
from disco.store.generate import CometNodeKey, CometValidatorKey

SLASHED = "two validators that sign with one key are slashed and jailed for good"


@dataclass(frozen=True)
class ValidatorKeys:
    """Where the keys of one validator are: `name` is its moniker and the name of its pod.

    validator_key: field `json` of a CometValidatorKey.
    node_key:      field `json` of a CometNodeKey.
    account:       field `words` of an Account or a Mnemonic.
    """

    name: str
    validator_key: SecretRef
    node_key: SecretRef
    account: SecretRef

    @classmethod
    def under(cls, folder: str, name: str) -> ValidatorKeys:
        """The usual names: `chains/akash/node-0/{validator,node,account}`."""
        return cls(
            name,
            SecretRef(f"{folder}/{name}/validator", "json"),
            SecretRef(f"{folder}/{name}/node", "json"),
            SecretRef(f"{folder}/{name}/account", "words"),
        )

    @property
    def pub_key(self) -> SecretRef:
        return replace(self.validator_key, field="pub_key")

    @property
    def address(self) -> SecretRef:
        return replace(self.validator_key, field="address")

    @property
    def node_id(self) -> SecretRef:
        return replace(self.node_key, field="id")

    @property
    def refs(self) -> tuple[SecretRef, ...]:
        return (self.validator_key, self.node_key, self.account)

    def remembers(self, prefix: str, slip44: int) -> tuple[Remember, ...]:
        """The actions that make these keys."""
        return (
            Remember(self.validator_key.name, CometValidatorKey()),
            Remember(self.node_key.name, CometNodeKey(), rotates=True),
            Remember(self.account.name, Account(prefix, slip44)),
        )


def peers(validators: Sequence[ValidatorKeys], port: int = 26656) -> Text:
    """Persistent peers by the service that each validator has for its pod:
    `ID@validator-0:26656,…`. Its address stays when the pod moves."""
    parts: list[str | SecretRef] = []
    for validator in validators:
        comma = "," if parts else ""
        parts += [comma, validator.node_id, f"@{validator.name}:{port}"]
    return Text(tuple(p for p in parts if p != ""))


def refuse_shared_references(validators: Sequence[ValidatorKeys]) -> None:
    """DiscoError naming both, when two validators have one name or point at one secret."""
    seen: dict[str, str] = {}
    for validator in validators:
        for thing in (f"name {validator.name}", *(f"secret {r.name}" for r in validator.refs)):
            if thing in seen:
                raise _shared(seen[thing], validator.name, f"both have the {thing}")
            seen[thing] = validator.name


def duplicate_keys(public_keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of validators, by name, that have the same public key."""
    first: dict[str, str] = {}
    for name, key in public_keys.items():
        if key in first:
            yield first[key], name
        first.setdefault(key, name)


def refuse_duplicate_keys(validators: Sequence[ValidatorKeys], lookup: Lookup) -> None:
    """DiscoError naming both, when the keys of two validators or nodes are the same."""
    refuse_shared_references(validators)
    for what, keys in (
        ("validator key", {v.name: lookup(v.pub_key) for v in validators}),
        ("node key", {v.name: lookup(v.node_id) for v in validators}),
    ):
        for one, other in duplicate_keys(keys):
            raise _shared(one, other, f"both have the {what} {keys[one]}")


def _shared(one: str, other: str, why: str) -> DiscoError:
    return DiscoError(
        f"the validators {one} and {other} share a key",
        why=f"{why}; {SLASHED}",
        fix=f"give {other} keys of its own",
    )
