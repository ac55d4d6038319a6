"""The steps that bring a chain's keys to signers, and home again. Each begins only when the one
before it is done: a key is never at two places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from disco.chains.validators import ValidatorKeys
from disco.engine.action import Action
from disco.engine.component import Step
from disco.engine.secret import Text, VersionRef
from disco.kube import charts
from disco.kube.access import Cluster
from disco.kube.actions import Apply, Delete, Release, Uninstall
from disco.layers.akash import signer
from disco.layers.akash.signing import WayBack


@dataclass(frozen=True)
class SignerSteps:
    """namespace: of the chain. chain_id: what its network calls itself."""

    cluster: Cluster
    namespace: str
    chain_id: str
    validators: tuple[ValidatorKeys, ...]

    @property
    def leased(self) -> tuple[Cluster, str, str, tuple[signer.Key, ...]]:
        """What every action on leases is about."""
        return (self.cluster, self.namespace, self.chain_id, self._keys)

    @property
    def _keys(self) -> tuple[signer.Key, ...]:
        return signer.keys_of(self.validators)

    def there(self, image: str, storage: str) -> Iterator[Step]:
        """From validators whose release runs without the keys already."""
        cluster, ns = self.cluster, self.namespace
        title = f"take {ns}'s keys from its validators"
        yield Step("hand-over", title, (signer.HandOver(*self.leased),), ("release",), 8)
        secrets = Apply(cluster, f"{ns}-signers", tuple(signer.objects(ns, self.validators)))
        release = self._release(image, storage, leaving=False)
        title = f"install {ns}'s signers, with the keys"
        yield Step("signers", title, (secrets, release), ("hand-over",), 2)
        begun = Apply(cluster, f"{ns}-begun", (signer.begun_object(ns, self._keys),))
        begins = (signer.BeginSigning(*self.leased), begun)
        title = f"{ns}'s signers begin where its validators ended"
        yield Step("signing", title, begins, ("signers",), 6)

    def back(self, way: WayBack) -> Iterator[Step]:
        """Until nothing signs at the signers; what the validators do then is theirs."""
        cluster, ns = self.cluster, self.namespace
        if way.image:
            told = signer.leases_object(ns, self._keys)
            leave = self._release(way.image, way.storage, leaving=True)
            actions = (Apply(cluster, f"{ns}-leaving", (told,)), leave)
            title = f"replace {ns}'s signers by pods without the keys"
            yield Step("signers-leave", title, actions, ("genesis",), 2)
        title = f"take {ns}'s keys from its signers"
        after = "signers-leave" if way.image else "genesis"
        yield Step("hand-back", title, (signer.HandBack(*self.leased),), (after,), 8)

    def gone(self) -> Step:
        """When the validators sign."""
        title = f"remove {self.namespace}'s signers, with their volumes"
        return Step("signers-gone", title, tuple(self._remains()), ("ready",), 2)

    def _remains(self) -> Iterator[Action]:
        ns = self.namespace
        yield Uninstall(self.cluster, signer.RELEASE, ns)
        lost = (f"what the signers of {ns} remember on their volumes; its validators know it",)
        for path in signer.left_paths(ns, len(self.validators)):
            is_volume = "/persistentvolumeclaims/" in path
            yield Delete(self.cluster, path, lost if is_volume else ())

    def _release(self, image: str, storage: str, *, leaving: bool) -> Release:
        version = Text.of(*(VersionRef(v.validator_key.name) for v in self.validators))
        values = signer.values(self.namespace, image, self.chain_id, self.validators, version)
        values |= {"storage": {"size": storage}, **({"leaving": True} if leaving else {})}
        source = charts.source(signer.CHART)
        return Release(self.cluster, signer.RELEASE, self.namespace, signer.CHART, source, values)
