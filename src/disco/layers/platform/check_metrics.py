"""Does Prometheus see everything that it should, and does anything that it sees call for help?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from disco.checks.alerts import NEVER_WRONG
from disco.checks.counted import counted
from disco.checks.prometheus import Prometheus as Server
from disco.checks.prometheus import patiently
from disco.checks.releases import release_check
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.kube.actions import Release
from disco.kube.reader import Kube

if TYPE_CHECKING:
    from disco.hosts.host import Host
    from disco.layers.platform.prometheus import Prometheus

Json = dict[str, Any]
SEVERE = ("critical", "page")
SCRAPE, PORT = "prometheus.io/scrape", "prometheus.io/port"
SENT = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds"
REFUSED = "increase(prometheus_remote_storage_samples_failed_total[1m])"
YEAR_S = 31_536_000.0  # further back than this means never: it is counted from 1970
LATE_S = 90.0  # a batch may be sent again for half a minute before it is late
PER_NODE = ("node-exporter", "kubelet", "cadvisor")
PER_PLANE = {"apiserver": 6443, "etcd": 2381, "scheduler": 10259, "controller-manager": 10257}


def prometheus_checks(component: Prometheus, world: World) -> Iterator[Check]:
    kube, cluster = world[Kube], component.kubernetes.cluster
    server = Server(kube, cluster)

    async def ask_ready() -> Answer:
        ready = await server.text("/-/ready")
        series = (await server.get("status/tsdb"))["headStats"]["numSeries"]
        return Answer(True, f"{ready} {series} series")

    async def ask_targets() -> Answer:
        return targets((await server.get("targets", state="active"))["activeTargets"])

    async def ask_samples() -> Answer:
        pods = (await kube.get(cluster, "/api/v1/pods"))["items"]
        services = (await kube.get(cluster, "/api/v1/services"))["items"]
        found = {source(s.labels): s.value for s in await server.query("scrape_samples_scraped")}
        kubernetes = component.kubernetes
        wanted = [
            *sources(kubernetes.nodes, kubernetes.control_planes),
            *asking(pods, services),
        ]
        return samples(found, wanted)

    async def ask_rules() -> Answer:
        return rules((await server.get("rules"))["groups"], declared_rules(component))

    async def ask_alerts() -> Answer:
        return alerts((await server.get("rules", type="alert"))["groups"])

    async def ask_remote() -> Answer:
        sent = {s.labels["url"]: s.at - s.value for s in await server.query(SENT)}
        refused = {s.labels["url"]: s.value for s in await server.query(REFUSED)}
        return remote([r.url for r in component.spec.remote_write], sent, refused)

    yield Check(
        "metrics/ready",
        "Does Prometheus answer?",
        "kubectl -n monitoring describe pod prometheus-0; kubectl -n monitoring logs prometheus-0",
        ask_ready,
    )
    yield Check(
        "metrics/targets",
        "Is everything up that Prometheus scrapes?",
        "kubectl -n monitoring port-forward svc/prometheus 9090, then /api/v1/targets: lastError "
        "says why; is the pod there, its port right, a network policy in between?",
        lambda: patiently(server, ask_targets),
    )
    yield Check(
        "metrics/samples",
        "Are there samples of every server, kubelet, control plane and pod that asks for it?",
        "kubectl -n monitoring get pods -o wide shows where node-exporter is missing; "
        f"kubectl describe pod NAME: annotations {SCRAPE} and {PORT}",
        lambda: patiently(server, ask_samples),
    )
    yield Check(
        "metrics/rules",
        "Are all declared rules loaded, and can all be computed?",
        "kubectl -n monitoring logs prometheus-0; /api/v1/rules: lastError says why; disco apply "
        "installs the rules anew",
        lambda: patiently(server, ask_rules),
    )
    yield Check(
        "metrics/alerts",
        "Is no severe alert firing?",
        "kubectl -n monitoring port-forward svc/prometheus 9090, then /api/v1/alerts: each says "
        "in its annotation `runbook` what to do",
        ask_alerts,
    )
    if component.spec.remote_write:
        yield Check(
            "metrics/remote-write",
            "Do the remote stores take what they are sent?",
            "kubectl -n monitoring logs prometheus-0 says what they answer; for another password, "
            "disco secrets set NAME and disco apply",
            lambda: patiently(server, ask_remote),
        )
    yield release_check("metrics", component, world)


def remote(
    urls: Sequence[str], behind_s: Mapping[str, float], refused: Mapping[str, float]
) -> Answer:
    """behind_s: age of the newest sample that each took. refused: samples in the last minute."""
    faults = {}
    for url in urls:
        age = behind_s.get(url)
        if lost := refused.get(url, 0.0):
            faults[url] = f"refused {lost:.0f} samples within a minute"
        elif age is None:
            faults[url] = "nothing is sent to it"
        else:
            never = age > YEAR_S
            late = "has taken nothing yet" if never else f"is {age:.0f} s behind"
            faults[url] = late if age > LATE_S else ""
    newest = max((a for a in behind_s.values()), default=0.0)
    return counted(faults, "remote stores up to date", f"at most {newest:.0f} s behind")


def targets(active: Sequence[Json]) -> Answer:
    faults = {}
    for target in active:
        name = f"{target['labels'].get('job')} {target['labels'].get('instance')}"
        why = target["lastError"] or "not scraped yet"
        faults[name] = "" if target["health"] == "up" else f"{target['health']}, {why}"
    jobs = sorted({t["labels"].get("job", "") for t in active})
    return counted(faults, "targets up", ", ".join(jobs))


def source(labels: Mapping[str, str]) -> str:
    """What a series tells about: `node-exporter h1`, `etcd 10.0.0.1:2381`, `pod akash/node-0`."""
    job = labels.get("job", "")
    if job in PER_NODE:
        return f"{job} {labels.get('node', '')}"
    if job in PER_PLANE:
        return f"{job} {labels.get('instance', '')}"
    if "pod" in labels:
        return f"pod {labels.get('namespace', '')}/{labels['pod']}"
    return f"{job} {labels.get('instance', '')}"


def sources(nodes: Sequence[Host], planes: Sequence[Host]) -> Iterator[str]:
    for node in nodes:
        yield from (f"{job} {node.name}" for job in PER_NODE)
    for plane in planes:
        yield from (f"{job} {plane.address}:{port}" for job, port in PER_PLANE.items())


def asking(pods: Sequence[Json], services: Sequence[Json]) -> Iterator[str]:
    """Running pods that are to be scraped, by their own annotation or that of their service."""
    running = [
        p
        for p in pods
        if p.get("status", {}).get("phase") == "Running"
        and not p["metadata"].get("deletionTimestamp")
    ]
    for pod in running:
        if _asks(pod) or any(_asks(s) and _selects(s, pod) for s in services):
            yield f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _asks(thing: Json) -> bool:
    return bool(thing["metadata"].get("annotations", {}).get(SCRAPE) == "true")


def _selects(service: Json, pod: Json) -> bool:
    selector = service["spec"].get("selector") or {}
    labels = pod["metadata"].get("labels", {})
    same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return bool(selector) and same and selector.items() <= labels.items()


def samples(found: Mapping[str, float], wanted: Sequence[str]) -> Answer:
    faults = {name: "" if found.get(name) else "no samples" for name in wanted}
    total = sum(found.get(name, 0) for name in wanted)
    return counted(faults, "sources have samples", f"{total:.0f} samples a scrape")


def declared_rules(component: Prometheus) -> list[str]:
    """Names of the alerts and records in the files that are installed."""
    steps = component.steps(component.nothing())
    releases = [a for s in steps for a in s.actions if isinstance(a, Release)]
    texts = [text for r in releases for text in r.values.get("rules", {}).values()]
    groups = [g for text in texts for g in YAML(typ="safe").load(text)["groups"]]
    return [r.get("alert") or r["record"] for g in groups for r in g["rules"]]


def rules(groups: Sequence[Json], declared: Sequence[str]) -> Answer:
    loaded = {r["name"]: r for g in groups for r in g["rules"]}
    faults = dict.fromkeys(declared, "is not loaded")
    faults |= {name: _failing(rule) for name, rule in loaded.items()}
    return counted(faults, "rules loaded and computed", f"{len(groups)} groups")


def _failing(rule: Json) -> str:
    if rule["health"] == "ok":
        return ""
    return f"{rule['health']}, {rule.get('lastError') or 'not computed yet'}"


def alerts(groups: Sequence[Json]) -> Answer:
    known = [r for g in groups for r in g["rules"]]
    firing = [a for r in known for a in r.get("alerts", ()) if a["state"] == "firing"]
    severe = [a for a in firing if a["labels"].get("severity") in SEVERE]
    if severe:
        told = tuple(_told(a) for a in severe)
        return Answer(False, f"{len(severe)} firing: {'; '.join(told[:3])}", told)
    mild = [a["labels"] for a in firing if a["labels"].get("severity") != NEVER_WRONG]
    others = ", ".join(sorted({str(labels["alertname"]) for labels in mild}))
    also = f" (less severe ones: {others})" if others else ""
    return Answer(bool(known), f"none severe of {len(known)} alert rules fires{also}")


def _told(alert: Json) -> str:
    summary = alert.get("annotations", {}).get("summary", "")
    return f"{alert['labels']['alertname']} since {alert['activeAt'][:19]}: {summary}"
