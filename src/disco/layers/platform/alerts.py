"""What is wrong is told to people: Alertmanager, with routes by severity and by alert."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from disco.engine.check import Check
from disco.engine.component import Outputs, StatusLine, Step, World
from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef, Text, VersionRef
from disco.kube import charts
from disco.kube.actions import Apply, AwaitRollout, Delete, Release, Uninstall
from disco.kube.reader import Kube
from disco.layers.platform.fixed import SetThere, refused_storage, set_there
from disco.layers.platform.oncluster import OnCluster
from disco.layers.platform.receivers import Receiver
from disco.layers.platform.seen import ClusterSeen
from disco.layers.platform.vault_clients import VaultClient, VaultNeeds, client
from disco.stack.model import Model, var
from disco.stack.secret import SecretName

NAMESPACE = "alerts"
NAME = "alertmanager"
METRICS = "monitoring"  # the namespace of what sends alerts
PORT = 9093
SECRET = "alertmanager-receivers"
SECRET_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}"
WORD = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DURATION = r"^\d+(s|m|h)$"
# A host that is down takes what runs on it along: that is told once.
COVERED = ("NodeNotReady", "ScrapeTargetDown", "LogsCollectorStuck")
HEARTBEAT, NOBODY = "Watchdog", "nobody"


class AlertRoute(Model):
    """Which alerts are told to whom. The first that fits decides."""

    severity: tuple[Literal["critical", "warning"], ...] = ()
    """Only those as severe as this; all when left out."""
    alerts: tuple[str, ...] = ()
    """Only these, by name (`disco alerts` and docs/runbooks have them); all when left out."""
    to: tuple[str, ...] = var(min_length=1, max_length=16)
    """Receivers that are told."""


class AlertsSpec(Model):
    """Alertmanager, whom it tells, and when."""

    receivers: dict[str, Receiver] = var(min_length=1, max_length=32)
    """Whom alerts are told to, by a name of your own."""
    routes: tuple[AlertRoute, ...] = var((), max_length=64)
    """Which alerts go to whom, the first that fits; all others go to all receivers."""
    heartbeat: tuple[str, ...] = var((), max_length=16)
    """Receivers that are told every `heartbeat_interval` that alerts get through: those that call
    when they hear nothing."""
    heartbeat_interval: str = var("5m", pattern=DURATION, unit="duration")
    """How often; no sooner than `group_interval`."""
    group_wait: str = var("10s", pattern=DURATION, unit="duration")
    """How long a first message waits for others of the same alert."""
    group_interval: str = var("1m", pattern=DURATION, unit="duration")
    """How long a next message about the same alert waits at least."""
    repeat_interval: str = var("4h", pattern=DURATION, unit="duration")
    """After what time an alert that goes on is told again."""
    replicas: int = var(1, ge=1, le=3)
    """How many there are; they tell each other what was sent."""
    storage: str = var("128Mi", pattern=r"^\d+(Mi|Gi|Ti)$", unit="bytes")
    """The size of each volume, for silences; it can't be changed later."""
    vault: VaultNeeds = VaultNeeds()
    """What its pods may do in the vault."""
    prevent_destroy: bool = False
    """Whether what would destroy its data is refused until this is false again."""
    on_drift: Literal["mend", "report"] = "mend"
    """What is done about changes that people made by hand: mended, or only reported."""

    @pydantic.field_validator("receivers")
    @classmethod
    def _named(cls, receivers: dict[str, Receiver]) -> dict[str, Receiver]:
        for name in receivers:
            if not re.fullmatch(WORD, name) or name == NOBODY:
                raise ValueError(f"a receiver's name is lower case letters, digits, -: {name!r}")
        return receivers

    @pydantic.model_validator(mode="after")
    def _known(self) -> AlertsSpec:
        named = {n for route in self.routes for n in route.to} | set(self.heartbeat)
        if unknown := sorted(named - set(self.receivers)):
            known = ", ".join(self.receivers)
            raise ValueError(f"there is no receiver {', '.join(unknown)}; there are {known}")
        return self


class AlertsOutputs(Outputs):
    """addresses: `host:port` of each Alertmanager, inside of the cluster."""

    addresses: tuple[str, ...]


@dataclass(frozen=True)
class AlertsLeft:
    """secret: whether the Secret is there though no receiver needs one any more."""

    there: SetThere | None = None
    secret: bool = False


class Alerts(OnCluster):
    """Alertmanager: tells people what Prometheus warns of, by webhook, mail or chat."""

    section = "alerts"
    spec: AlertsSpec

    @classmethod
    def wants(cls, spec: AlertsSpec) -> tuple[str, ...]:
        return ("images/alerts",)

    @classmethod
    def vault_client(cls, spec: AlertsSpec) -> VaultClient | None:
        return client(cls.section, NAMESPACE, NAME, spec.vault)

    def outputs(self, seen: ClusterSeen) -> AlertsOutputs:
        return AlertsOutputs(
            addresses=tuple(f"{pod}.{NAME}.{NAMESPACE}:{PORT}" for pod in self.pods)
        )

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(f"{NAME}-{i}" for i in range(self.spec.replicas))

    @property
    def secrets(self) -> dict[str, SecretName]:
        """Key in the Secret -> secret of the store, for all receivers."""
        return {
            key: secret
            for name, receiver in self.spec.receivers.items()
            for key, secret in receiver.secrets(name).items()
        }

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        if secrets := self.secrets:
            data = {key: Text.of(SecretRef.of(name)) for key, name in secrets.items()}
            objects = (_namespace(), _secret(data))
            apply = Apply(cluster, SECRET, objects)
            yield Step("secrets", "receivers' secrets in the cluster", (apply,))
        after = ("secrets",) if secrets else ()
        release = Release(
            cluster, NAME, NAMESPACE, NAME, charts.source(NAME), self._values(), within_s=120
        )
        yield Step("release", "install Alertmanager", (release,), after, 3)
        waits = AwaitRollout(cluster, f"statefulsets/{NAMESPACE}/{NAME}")
        yield Step("ready", "Alertmanager is ready", (waits,), ("release",), 6)

    def _values(self) -> dict[str, Any]:
        names = dict.fromkeys(secret.secret for secret in self.secrets.values())
        return {
            "image": self.artifacts.image(NAME),
            "replicas": self.spec.replicas,
            "config": self.config(),
            "secret": SECRET if names else "",
            "versions": [VersionRef(name) for name in names],
            "storage": {"size": self.spec.storage},
            "networkPolicy": {"namespaces": [METRICS], "cidrs": list(self.kubernetes.proxies)},
        }

    def config(self) -> dict[str, Any]:
        """Alertmanager's configuration, without secrets."""
        spec = self.spec
        heartbeat = {
            "receiver": NOBODY,
            "matchers": [f'alertname="{HEARTBEAT}"'],
            "group_wait": "0s",
            "repeat_interval": spec.heartbeat_interval,
            "routes": list(_to(spec.heartbeat)),
        }
        return {
            "route": {
                "receiver": NOBODY,
                "group_by": ["alertname"],
                "group_wait": spec.group_wait,
                "group_interval": spec.group_interval,
                "repeat_interval": spec.repeat_interval,
                "routes": [heartbeat, *map(_route, spec.routes), *_to(tuple(spec.receivers))],
            },
            "receivers": [
                {"name": NOBODY},
                *(receiver.config(name) for name, receiver in spec.receivers.items()),
            ],
            "inhibit_rules": [
                {
                    "source_matchers": ['alertname="HostDown"', 'node!=""'],
                    "target_matchers": [f"alertname=~{_one_of(COVERED)}"],
                    "equal": ["node"],
                }
            ],
        }

    async def observe_left(self, world: World, was: Alerts) -> AlertsLeft:
        cluster = self.kubernetes.cluster
        there = await set_there(world, cluster, NAMESPACE, NAME)
        left = was.secrets and not self.secrets
        found = await world[Kube].find(cluster, SECRET_PATH) if left else None
        return AlertsLeft(there, found is not None)

    def leaving(self, left: AlertsLeft, was: Alerts) -> Iterator[Step]:
        if left.secret:
            gone = Delete(self.kubernetes.cluster, SECRET_PATH)
            yield Step("secrets/gone", "delete the receivers' secrets", (gone,))

    def refused(self, left: AlertsLeft, was: Alerts) -> list[DiscoError]:
        """Rather than failing in the middle of a run."""
        claims = " ".join(f"data-{pod}" for pod in was.pods)
        instead = (
            f"take {self.section} out of the file and apply, delete its volumes with all silences: "
            f"disco kubectl -- -n {NAMESPACE} delete pvc {claims}; then put it in again"
        )
        return refused_storage(left.there, self.spec.storage, self.name, instead)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        if not ground_goes and f"{NAMESPACE}/{NAME}" in seen.releases:
            secrets = (Delete(cluster, SECRET_PATH),) if self.secrets else ()
            # The release goes last: while it is there, an earlier way out was cut off.
            actions = (*secrets, Uninstall(cluster, NAME, NAMESPACE))
            yield Step("release", "uninstall Alertmanager", actions, (), 3)

    def checks(self, world: World) -> Iterator[Check]:
        from disco.layers.platform.checks import alerts_checks

        return alerts_checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
        found = await world[Kube].find(self.kubernetes.cluster, path)
        ready = (found or {}).get("status", {}).get("readyReplicas", 0)
        state = f"{ready} of {self.spec.replicas} ready, tells {', '.join(self.spec.receivers)}"
        return [StatusLine(NAME, state, "disco alerts", ready == self.spec.replicas)]


def _route(route: AlertRoute) -> dict[str, Any]:
    severity = [f"severity=~{_one_of(route.severity)}"] if route.severity else []
    alerts = [f"alertname=~{_one_of(route.alerts)}"] if route.alerts else []
    matchers = {"matchers": [*severity, *alerts]} if severity or alerts else {}
    return {"receiver": NOBODY, **matchers, "routes": list(_to(route.to))}


def _to(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Routes to all of these: each fits, and all but the last go on."""
    for name in names:
        yield {"receiver": name, **({"continue": True} if name != names[-1] else {})}


def _one_of(words: tuple[str, ...]) -> str:
    """The value of a matcher for any of these words."""
    return json.dumps("|".join(words))


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _secret(data: dict[str, Text]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": data,
    }
