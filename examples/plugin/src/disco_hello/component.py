"""The component: what it is told, what it stands on, what it does, and how it is taken away.

Read it from top to bottom. DISCO calls `observe` (reads only), then `steps` (pure), shows the steps
to a person, and carries them out. There is nothing else: running it again does what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from disco.plugin import (
    Apply,
    ArtifactsOutputs,
    AwaitRollout,
    Check,
    ClusterSeen,
    Component,
    Delete,
    Kube,
    KubernetesOutputs,
    Layer,
    Model,
    Outputs,
    Release,
    StatusLine,
    Step,
    Uninstall,
    World,
    chart_source,
    look,
    pending,
    var,
)

NAME = "hello"  # of the release and of its namespace
PORT = 8080
CHART = "disco_hello:chart"  # PACKAGE:FOLDER, in this package's data
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAME}/deployments/{NAME}"


class HelloSpec(Model):
    """A page that greets."""

    # Type, bounds and the text below each variable are all that there is to say: the schema, the
    # comments that `disco init` writes and the errors for wrong values are made from them.
    replicas: int = var(1, ge=1, le=5)
    """Pods that serve the page."""
    greeting: str = var("hello", min_length=1, max_length=200)
    """The text of the page."""


class HelloOutputs(Outputs):
    """For components that stand on this one: they write `hello: HelloOutputs`."""

    url: str


class Hello(Component):
    """A page that greets, served by busybox."""

    contract = 1  # the plugin contract that this was written for
    layer = Layer.SERVICES
    section = "hello"  # its key in stack.yaml
    spec: HelloSpec
    # Inputs: an annotation with another component's Outputs is an edge of the graph.
    kubernetes: KubernetesOutputs
    artifacts: ArtifactsOutputs

    @classmethod
    def wants(cls, spec: HelloSpec) -> tuple[str, ...]:
        """Artifacts to have ready and, as images, on every node: `disco artifacts list`."""
        return ("images/storage",)  # busybox is one of them

    def outputs(self, seen: ClusterSeen) -> HelloOutputs:
        return HelloOutputs(url=f"http://{NAME}.{NAME}:{PORT}")

    def nothing(self) -> ClusterSeen:
        return ClusterSeen()

    async def observe(self, world: World) -> ClusterSeen:
        """Which of all its actions would change nothing; what was changed by hand is not one."""
        return await look(world, self.kubernetes.cluster, list(self._all_steps()))

    def steps(self, seen: ClusterSeen) -> Iterator[Step]:
        return pending(self._all_steps(), seen.done)

    @property
    def _namespace(self) -> Apply:
        thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}
        return Apply(self.kubernetes.cluster, NAME, (thing,))

    def _all_steps(self) -> Iterator[Step]:
        cluster = self.kubernetes.cluster
        values = {
            "image": self.artifacts.image("busybox"),
            "replicas": self.spec.replicas,
            "greeting": self.spec.greeting,
            "port": PORT,
        }
        release = Release(cluster, NAME, NAME, CHART, chart_source(CHART), values)
        yield Step("release", "install the page that greets", (self._namespace, release), (), 2)
        ready = AwaitRollout(cluster, f"deployments/{NAME}/{NAME}")
        yield Step("ready", "the page is served", (ready,), ("release",), 3)

    def removal(self, seen: ClusterSeen, ground_goes: bool) -> Iterator[Step]:
        """The namespace goes last: while it is there, an earlier way out was cut off.

        ground_goes: the servers go too, and with them all that is on them.
        """
        there = self._namespace.identity in seen.done or f"{NAME}/{NAME}" in seen.releases
        if ground_goes or not there:
            return
        cluster, lost = self.kubernetes.cluster, (f"everything in the namespace {NAME}",)
        uninstall = Uninstall(cluster, NAME, NAME)
        delete = Delete(cluster, f"/api/v1/namespaces/{NAME}", lost)
        yield Step("release", "remove the page that greets", (uninstall, delete), (), 2)

    def checks(self, world: World) -> Iterator[Check]:
        from disco_hello.checks import checks

        return checks(self, world)

    async def status(self, world: World) -> list[StatusLine]:
        found = await world[Kube].find(self.kubernetes.cluster, DEPLOYMENT)
        ready = (found or {}).get("status", {}).get("readyReplicas", 0)
        wanted = self.spec.replicas
        return [StatusLine(NAME, f"{ready} of {wanted} ready", _forward(), ready == wanted)]


def _forward() -> str:
    return f"kubectl -n {NAME} port-forward svc/{NAME} {PORT}"
