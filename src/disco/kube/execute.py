"""How cluster actions are carried out."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.kube import charts
from disco.kube.access import Cluster
from disco.kube.actions import (
    DIGEST,
    MANAGER,
    Apply,
    AwaitNodes,
    AwaitRollout,
    Delete,
    Drain,
    DropPods,
    Release,
    Uninstall,
)
from disco.kube.errors import translated
from disco.kube.paths import path_of
from disco.kube.reader import Kube
from disco.kube.revealing import reveal
from disco.kube.rollout import behind, is_ready, stuck

Find = Callable[[str], Path]
GOING_S = 120.0  # that what is in a namespace may take to end


class KubeExecutors:
    """find: an artifact's file on this machine, by name."""

    def __init__(self, kube: Kube, lookup: Lookup, find: Find) -> None:
        self._kube, self._lookup, self._find = kube, lookup, find

    async def apply(self, action: Apply, report: Report) -> None:
        for namespace in sorted(set(_namespaces(action.objects))):
            await self._not_going(action.cluster, namespace, report)
        for thing in action.objects:
            body = reveal(thing, self._lookup)
            body["metadata"].setdefault("annotations", {})[DIGEST] = action.want
            with translated(action.cluster, f"apply {body['kind']} {body['metadata']['name']}"):
                answer = await self._kube.http(action.cluster).patch(
                    path_of(body),
                    params={"fieldManager": MANAGER, "force": "true"},
                    content=json.dumps(body),
                    headers={"Content-Type": "application/apply-patch+yaml"},
                )
                answer.raise_for_status()

    async def _not_going(self, cluster: Cluster, namespace: str, report: Report) -> None:
        """A namespace that goes away takes nothing new, and what is in it seems to be there still:
        whoever plans or makes the same again has to wait until it is gone."""
        path = f"/api/v1/namespaces/{namespace}"

        async def test() -> str:
            found = await self._kube.find(cluster, path)
            going = found is not None and "deletionTimestamp" in found["metadata"]
            return f"{namespace} is going away, and what is in it ends" if going else ""

        if await test():
            await self._kube.until(
                cluster,
                f"the namespace {namespace} is gone",
                test,
                GOING_S,
                lambda note: report(note, None),
            )

    async def drain(self, action: Drain, report: Report) -> None:
        """Cordon, evict, wait. What a budget holds back is tried again until the time is up."""
        node = f"/api/v1/nodes/{action.node}"
        found = await self._kube.find(action.cluster, node)
        if found is None:
            return
        with translated(action.cluster, f"cordon {action.node}"):
            answer = await self._kube.http(action.cluster).patch(
                node,
                content=json.dumps({"spec": {"unschedulable": True}}),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            answer.raise_for_status()
        if not is_ready(found):
            report("the node does not answer: its pods go with it", None)
            return

        async def test() -> str:
            held: list[str] = []
            going: list[str] = []
            for pod in await self._movable(action):
                why = await self._evict(action.cluster, pod)
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                (held if why else going).append(f"{name} {why or 'still there'}")
            return "; ".join([*held, *going])

        await self._kube.until(
            action.cluster,
            f"{action.node} is drained",
            test,
            action.within_s,
            lambda note: report(note, None),
            pause_s=1.0,
        )

    async def _movable(self, action: Drain) -> list[dict[str, Any]]:
        """Pods of the node that are to go: not a DaemonSet's, not the kubelet's own, not ended."""
        return [
            pod
            for pod in await self._kube.pods_on(action.cluster, action.node)
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and "kubernetes.io/config.mirror" not in pod["metadata"].get("annotations", {})
            and all(o["kind"] != "DaemonSet" for o in pod["metadata"].get("ownerReferences", ()))
        ]

    async def _evict(self, cluster: Cluster, pod: dict[str, Any]) -> str:
        """Ask for it once; which disruption budget holds it and why, or nothing."""
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            return ""
        about = {"name": meta["name"], "namespace": meta["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": about}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
        with translated(cluster, f"evict {meta['name']}"):
            answer = await self._kube.http(cluster).post(path, json=body)
            if answer.status_code == 429:
                return held_by(answer.json(), meta["namespace"])
            if answer.status_code != 404:
                answer.raise_for_status()
        return ""

    async def drop_pods(self, action: DropPods, report: Report) -> None:
        """Only of a node that is not there: its kubelet can't say any more that they have ended."""
        if await self._kube.find(action.cluster, f"/api/v1/nodes/{action.node}"):
            raise DiscoError(
                f"the cluster knows {action.node} again: its pods are left alone",
                where=action.cluster.name,
                retry=Retry.NEVER,
            )
        for pod in await self._kube.pods_on(action.cluster, action.node):
            meta = pod["metadata"]
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            with translated(action.cluster, f"delete pod {meta['name']}"):
                answer = await self._kube.http(action.cluster).delete(
                    path, params={"gracePeriodSeconds": "0"}
                )
                if answer.status_code != 404:
                    answer.raise_for_status()

    async def delete(self, action: Delete, report: Report) -> None:
        with translated(action.cluster, f"delete {action.path}"):
            answer = await self._kube.http(action.cluster).delete(action.path)
            if answer.status_code != 404:
                answer.raise_for_status()
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)", action.path):
            await self._not_going(action.cluster, found[1], report)

    async def release(self, action: Release, report: Report) -> None:
        """A release left pending by a killed helm is mended first: rolled back, or removed."""
        await self._not_going(action.cluster, action.namespace, report)
        seen = (await self._kube.releases(action.cluster)).get(action.key)
        if seen and seen.pending:
            report(f"mending release {action.name}, left {seen.status}", None)
            await self._mend(action, seen.revision)
            seen = (await self._kube.releases(action.cluster)).get(action.key)
        revision = seen.revision + 1 if seen else 1
        values = json.dumps(reveal(action.values, self._lookup)).encode()
        report(f"helm upgrade --install {action.name}", None)
        await self._helm(
            action,
            [
                "upgrade",
                "--install",
                action.name,
                str(charts.folder(action.chart)),
                "--namespace",
                action.namespace,
                "--create-namespace",
                "--labels",
                f"disco-digest={self._kube.want(action)},disco-revision={revision}",
                "--history-max",
                "5",
                "--force-conflicts",
                *(["--wait", "--timeout", f"{action.within_s:.0f}s"] if action.wait else []),
                "--values",
                "-",
            ],
            values,
        )

    async def _mend(self, action: Release, revision: int) -> None:
        verb = ["uninstall"] if revision == 1 else ["rollback"]
        await self._helm(action, [*verb, action.name, "--namespace", action.namespace], b"")

    async def uninstall(self, action: Uninstall, report: Report) -> None:
        releases = await self._kube.releases(action.cluster)
        if f"{action.namespace}/{action.name}" in releases:
            await self._helm(
                action,
                ["uninstall", action.name, "--namespace", action.namespace, "--ignore-not-found"],
                b"",
            )

    async def _helm(self, action: Release | Uninstall, arguments: list[str], stdin: bytes) -> None:
        """helm as people run it; values go in by stdin, never by argv."""
        process = await asyncio.create_subprocess_exec(
            str(self._find("helm")),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(action),
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        try:
            async with asyncio.timeout(300):
                _, err = await process.communicate(stdin)
        except BaseException:
            if process.returncode is None:
                process.kill()
            raise
        if process.returncode != 0:
            text = err.decode(errors="replace").strip()
            again = any(s in text for s in ("connection refused", "EOF", "timeout", "forbidden"))
            raise DiscoError(
                f"helm {arguments[0]} {action.name} failed",
                where=f"{action.cluster.name}/{action.namespace}",
                why=text[-600:],
                fix=f"helm history {action.name} -n {action.namespace}",
                retry=Retry.LIKELY if again else Retry.NEVER,
            )

    def _environment(self, action: Release | Uninstall) -> dict[str, str]:
        """helm keeps nothing of its own in the person's home."""
        config = self._kube.kubeconfig_file(action.cluster)
        own = Path(config).parent
        kinds = ("CACHE", "CONFIG", "DATA")
        return {
            **os.environ,
            "KUBECONFIG": config,
            **{f"HELM_{kind}_HOME": str(own / f"helm-{kind.lower()}") for kind in kinds},
        }

    async def await_rollout(self, action: AwaitRollout, report: Report) -> None:
        kind, namespace, name = action.workload.split("/")
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind}/{name}"

        async def test() -> str:
            found = await self._kube.find(action.cluster, path)
            if found and kind == "statefulsets":
                await self._unblock(action, found, report)
            return behind(found, action.enough) if found else "it is not there"

        await self._kube.until(
            action.cluster,
            f"{action.workload} is ready",
            test,
            action.within_s,
            lambda note: report(note, None),
        )

    async def _unblock(
        self, action: AwaitRollout, workload: dict[str, Any], report: Report
    ) -> None:
        """A pod of an older revision that never became ready blocks its StatefulSet for good
        (kubernetes/kubernetes#67250): remove it, and the new one comes."""
        status, meta = workload.get("status", {}), workload["metadata"]
        if status.get("currentRevision") == status.get("updateRevision"):
            return
        pods = f"/api/v1/namespaces/{meta['namespace']}/pods"
        found = await self._kube.get(action.cluster, pods)
        for pod in found["items"]:
            if stuck(pod, meta["uid"], status.get("updateRevision", "")):
                name = pod["metadata"]["name"]
                report(f"removing {name}, stuck at an older revision", None)
                with translated(action.cluster, f"delete pod {name}"):
                    await self._kube.http(action.cluster).delete(f"{pods}/{name}")

    async def await_nodes(self, action: AwaitNodes, report: Report) -> None:
        async def test() -> str:
            nodes = (await self._kube.get(action.cluster, "/api/v1/nodes"))["items"]
            ready = {n["metadata"]["name"] for n in nodes if is_ready(n)}
            missing = action.missing(ready)
            return f"{', '.join(missing)} not Ready" if missing else ""

        await self._kube.until(
            action.cluster, "the nodes are Ready", test, action.within_s, lambda n: report(n, None)
        )


def _namespaces(objects: Iterable[dict[str, Any]]) -> Iterator[str]:
    """In which these are, and which they are themselves."""
    for thing in objects:
        meta = thing["metadata"]
        if thing["kind"] == "Namespace":
            yield meta["name"]
        elif "namespace" in meta:
            yield meta["namespace"]


def held_by(refusal: dict[str, Any], namespace: str) -> str:
    """What the API says against an eviction: it names the budget in a cause, in a sentence
    (kubernetes/kubernetes, pkg/registry/core/pod/storage/eviction.go)."""
    for cause in (refusal.get("details") or {}).get("causes") or ():
        if found := re.match(r"The disruption budget (\S+) (.*)", cause.get("message", "")):
            return f"is held by the disruption budget {namespace}/{found[1]} ({found[2]})"
    return f"is held: {refusal.get('message', 'by a disruption budget')}"[:200]


def _die_with_parent() -> None:
    """A helm whose DISCO was killed must not go on beside the next run (prctl(2))."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
