"""What can be asked of a cluster without changing anything.

lightkube is imported where a connection is made: commands that need none begin sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx2

from disco.engine.action import Action, made_from, secrets_in
from disco.engine.drift import Difference
from disco.engine.errors import DiscoError, NotThere
from disco.engine.secret import Lookup
from disco.kube import drift
from disco.kube.access import Cluster, PrivateFolder, kubeconfig, render
from disco.kube.actions import DIGEST, MANAGER, Apply, AwaitNodes, AwaitRollout, Release
from disco.kube.errors import translated
from disco.kube.paths import path_of
from disco.kube.revealing import reveal
from disco.kube.rollout import behind, is_ready
from disco.kube.tunnel import Server, Tunnel, Tunnels, run_in

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

ADMIN = "disco-admin"
ADMIN_GROUPS = ["system:masters"]
ADMIN_DAYS = 7
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
Certify = Callable[[str, str, str, list[str], int], tuple[str, str]]


@dataclass(frozen=True)
class ReleaseSeen:
    """A Helm release as its newest revision stands.

    digest: what DISCO asked for, or empty; touched: whether somebody else made the newest revision.
    """

    name: str
    namespace: str
    status: str
    revision: int
    digest: str
    touched: bool

    @property
    def pending(self) -> bool:
        return self.status.startswith("pending")


class Kube:
    """The reader of clusters. Connections are made at first use and end with `close`."""

    def __init__(self, lookup: Lookup, certify: Certify) -> None:
        self._lookup, self._certify = lookup, certify
        self._http: dict[Cluster, httpx2.AsyncClient] = {}
        self._folder: PrivateFolder | None = None
        self._tunnels: Tunnels | None = None

    async def close(self) -> None:
        if self._tunnels:
            await self._tunnels.close()
            self._tunnels = None
        for client in self._http.values():
            await client.aclose()
        self._http.clear()
        if self._folder:
            self._folder.close()
            self._folder = None

    def kubeconfig(self, cluster: Cluster) -> dict[str, Any]:
        """A kubeconfig for the administrator, signed now, valid for a week."""
        ca = self._lookup(cluster.ca)
        crt, key = self._certify(ca, self._lookup(cluster.ca_key), ADMIN, ADMIN_GROUPS, ADMIN_DAYS)
        return kubeconfig(cluster, ca, crt, key)

    def kubeconfig_file(self, cluster: Cluster) -> str:
        """The path of such a kubeconfig, for programs; it is gone after this process."""
        path = self._private.path / f"{cluster.name}.kubeconfig"
        if not path.exists():
            self._private.write(path.name, render(self.kubeconfig(cluster)))
        return str(path)

    @property
    def _private(self) -> PrivateFolder:
        if self._folder is None:
            self._folder = PrivateFolder()
        return self._folder

    def config(self, cluster: Cluster) -> SingleConfig:
        from lightkube.config.kubeconfig import KubeConfig

        found = KubeConfig.from_file(self.kubeconfig_file(cluster)).get()
        assert found is not None
        return found

    def http(self, cluster: Cluster) -> httpx2.AsyncClient:
        """HTTP to the API with the administrator's certificate."""
        if cluster not in self._http:
            from lightkube.config.client_adapter import AsyncClient as http_client
            from lightkube.config.client_adapter import ConnectionParams

            parameters = ConnectionParams(timeout=httpx2.Timeout(15), trust_env=False)
            self._http[cluster] = http_client(self.config(cluster), parameters)
        return self._http[cluster]

    async def ready(self, cluster: Cluster) -> bool:
        """Whether the API says it is ready. Its not answering is a no."""
        try:
            answer = await self.http(cluster).get("/readyz", timeout=5)
        except (httpx2.TransportError, OSError):
            return False
        return answer.status_code == 200

    async def get(self, cluster: Cluster, path: str, **params: str) -> dict[str, Any]:
        """The object or list at an API path. Raises DiscoError when it is not there."""
        with translated(cluster, f"GET {path}"):
            answer = await self.http(cluster).get(path, params=params)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    async def find(self, cluster: Cluster, path: str) -> dict[str, Any] | None:
        """The object at an API path, or None."""
        with translated(cluster, f"GET {path}"):
            answer = await self.http(cluster).get(path)
            if answer.status_code == 404:
                return None
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    async def pods_on(self, cluster: Cluster, node: str) -> list[dict[str, Any]]:
        """The pods that are bound to a node, whether it is there or not."""
        bound = f"spec.nodeName={node}"
        found = await self.get(cluster, "/api/v1/pods", fieldSelector=bound)
        return list(found["items"])

    async def releases(self, cluster: Cluster) -> dict[str, ReleaseSeen]:
        """Helm's releases, by `namespace/name`, read from their Secrets' labels."""
        with translated(cluster, "list Helm releases"):
            answer = await self.http(cluster).get(
                "/api/v1/secrets",
                params={"labelSelector": "owner=helm"},
                headers={"Accept": METADATA},
            )
            answer.raise_for_status()
        newest: dict[str, ReleaseSeen] = {}
        for item in answer.json()["items"] or ():
            seen = _release(item["metadata"])
            key = f"{seen.namespace}/{seen.name}"
            if key not in newest or newest[key].revision < seen.revision:
                newest[key] = seen
        return newest

    async def satisfied(self, cluster: Cluster, actions: Iterable[Action]) -> frozenset[str]:
        """The identities of those actions that would change nothing."""
        releases = await self.releases(cluster)
        wanted = list(actions)
        done = await asyncio.gather(*(self._done(cluster, a, releases) for a in wanted))
        return frozenset(a.identity for a, yes in zip(wanted, done, strict=True) if yes)

    async def _done(
        self, cluster: Cluster, action: Action, releases: dict[str, ReleaseSeen]
    ) -> bool:
        match action:
            case Release():
                return await self._is_released(cluster, action, releases.get(action.key))
            case Apply():
                return await self._is_applied(cluster, action)
            case AwaitRollout():
                kind, namespace, name = action.workload.split("/")
                path = f"/apis/apps/v1/namespaces/{namespace}/{kind}/{name}"
                workload = await self.find(cluster, path)
                return bool(workload) and not behind(workload or {}, action.enough)
            case AwaitNodes():
                nodes = (await self.get(cluster, "/api/v1/nodes"))["items"]
                ready = {n["metadata"]["name"] for n in nodes if is_ready(n)}
                return not action.missing(ready)
            case _:
                return False

    def want(self, release: Release) -> str:
        """What its label must say: it is made of the values of secrets, too. Raises NotThere."""
        return made_from(release.want, release.values, self._lookup)

    def _wanted(self, release: Release) -> str:
        try:
            return self.want(release)
        except NotThere:  # it was made from what is made anew
            return ""

    async def _is_released(
        self, cluster: Cluster, action: Release, seen: ReleaseSeen | None
    ) -> bool:
        if (
            not seen
            or seen.status != "deployed"
            or seen.digest != self._wanted(action)
            or seen.touched
        ):
            return False
        return not await drift.of_release(self, cluster, seen.name, seen.namespace, seen.revision)

    async def _is_applied(self, cluster: Cluster, action: Apply) -> bool:
        """As declared, and not changed by hand since."""
        found = [await self.find(cluster, path_of(o)) for o in action.objects]
        if not all(o and _digest_of(o) == action.want for o in found):
            return False
        try:
            objects = [reveal(o, self._lookup) for o in action.objects]
        except NotThere:  # it was made from what is made anew
            return False
        return not await drift.of_objects(self, cluster, objects, MANAGER)

    async def explain(self, action: Action) -> list[Difference]:
        """Why a release or objects are not as they should be, field by field."""
        match action:
            case Release():
                return await self._explain_release(action)
            case Apply():
                objects = [reveal(o, self._lookup) for o in action.objects]
                return await drift.of_objects(self, action.cluster, objects, MANAGER)
            case _:
                return []

    async def _explain_release(self, action: Release) -> list[Difference]:
        thing = f"release {action.namespace}/{action.name}"
        seen = (await self.releases(action.cluster)).get(action.key)
        if seen is None:
            return [Difference(thing, "", "gone", "deployed")]
        found = await drift.of_release(
            self, action.cluster, seen.name, seen.namespace, seen.revision
        )
        if seen.status != "deployed":
            found.append(Difference(thing, "status", seen.status, "deployed"))
        if seen.touched:
            found.append(Difference(thing, "revision", str(seen.revision), "DISCO's own", "helm"))
        elif seen.digest != (wanted := self._wanted(action)):
            what = "chart, values and secrets" if secrets_in(action) else "chart and values"
            found.append(Difference(thing, what, seen.digest[:8], wanted[:8]))
        return found

    async def proxy(
        self,
        cluster: Cluster,
        target: str,
        path: str,
        method: str = "GET",
        **options: Any,
    ) -> httpx2.Response:
        """HTTP to a pod or service through the API server.

        target: `namespace/pods/name:port` or `namespace/services/name:port`.
        """
        namespace, kind, name = target.split("/")
        url = f"/api/v1/namespaces/{namespace}/{kind}/{name}/proxy{path}"
        with translated(cluster, f"{method} {target}{path}"):
            return await self.http(cluster).request(method, url, **options)

    async def secured(
        self, cluster: Cluster, server: Server, path: str, method: str = "GET", **options: Any
    ) -> httpx2.Response:
        """HTTPS to a server in a pod, from end to end. Raises DiscoError, also for a certificate
        that is not as it has to be."""
        return await (await self._to(cluster, server)).request(method, path, **options)

    async def shown(self, cluster: Cluster, server: Server) -> str:
        """The certificate that a server in a pod shows, PEM, whatever it is worth."""
        return await (await self._to(cluster, replace(server, authority=""))).shown()

    async def run_in(self, cluster: Cluster, pod: str, container: str, argv: list[str]) -> str:
        """Run a program in a container of a pod `namespace/name`; what it prints."""
        return await run_in(self.http(cluster), pod, container, argv)

    async def _to(self, cluster: Cluster, server: Server) -> Tunnel:
        if self._tunnels is None:
            self._tunnels = Tunnels(self._private.path)
        return await self._tunnels.to(self.http(cluster), server)

    async def until(
        self,
        cluster: Cluster,
        what: str,
        test: Callable[[], Any],
        within_s: float,
        report: Callable[[str], None],
        pause_s: float = 0.25,
    ) -> None:
        """Poll `test` (a coroutine function giving '' when it is so, else what was seen)."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        while True:
            try:
                seen = await test()
            except DiscoError as error:
                seen = str(error)
            if not seen:
                return
            if loop.time() > ends:
                raise DiscoError(
                    f"gave up after {within_s:.0f} s waiting until {what}",
                    where=cluster.name,
                    why=f"last seen: {seen}",
                    fix="look closer: disco events, disco logs",
                )
            report(f"waiting until {what} ({seen[:80]})")
            await asyncio.sleep(pause_s)


def _digest_of(thing: dict[str, Any]) -> str:
    found: str = thing["metadata"].get("annotations", {}).get(DIGEST, "")
    return found


def _release(metadata: dict[str, Any]) -> ReleaseSeen:
    labels = metadata.get("labels", {})
    revision = int(labels.get("version", 0))
    return ReleaseSeen(
        labels.get("name", ""),
        metadata["namespace"],
        labels.get("status", ""),
        revision,
        labels.get("disco-digest", ""),
        touched=labels.get("disco-revision", "") != str(revision),
    )
