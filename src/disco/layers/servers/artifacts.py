"""Programs, images and root file systems that the stack needs, on this machine and verified."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from disco.artifacts.actions import Obtain
from disco.artifacts.reader import Artifacts as Reader
from disco.engine.component import Component, Layer, Outputs, StatusLine, Step, World
from disco.stack.model import Model, var

UNKNOWN = "0" * 64  # stands for a digest that is known after the build


class ArtifactsSpec(Model):
    """Where third-party programs and images come from."""

    sources: tuple[Literal["download", "build"], ...] = var(("build",), min_length=1)
    """Sources, tried in this order: upstream's own release, or a build from packages."""
    also: tuple[str, ...] = ()
    """Artifacts to have ready beyond what the stack's components need."""


class ArtifactsOutputs(Outputs):
    """digests: SHA-256 (hex) by name. manifests: image set -> (image name, manifest digest).
    paths: where each is on this machine."""

    digests: dict[str, str]
    manifests: dict[str, tuple[tuple[str, str], ...]]
    paths: dict[str, str]

    @property
    def image_sets(self) -> tuple[str, ...]:
        return tuple(self.manifests)

    def digest(self, name: str) -> str:
        return self.digests.get(name, UNKNOWN)

    def images(self, name: str) -> tuple[tuple[str, str], ...]:
        return self.manifests[name]

    def image(self, name: str) -> str:
        """The full reference of the image that is called so: `busybox` -> `localhost/busybox:1`."""
        found = (r for refs in self.manifests.values() for r, _ in refs)
        match = (r for r in found if r.rpartition(":")[0].rpartition("/")[2] == name)
        return next(match, "known after artifacts")

    def path(self, name: str) -> str:
        return self.paths.get(name, "known after artifacts")


@dataclass(frozen=True)
class ArtifactsSeen:
    outputs: ArtifactsOutputs
    missing: tuple[Obtain, ...] = ()
    seconds: float = 0.0
    size_bytes: int = 0


class Artifacts(Component):
    """What is used, pinned and verified. Its spec's `also` has the names that others want."""

    layer = Layer.SERVERS
    section = "artifacts"
    implied = True
    spec: ArtifactsSpec

    async def observe(self, world: World) -> ArtifactsSeen:
        reader = world[Reader]
        names = self.spec.also
        held = {n: h for n in names if (h := reader.held(n))}
        outputs = ArtifactsOutputs(
            digests={n: h.sha256 for n, h in held.items()},
            manifests={
                n: tuple(sorted(reader.images(n).items())) for n in names if n.startswith("images/")
            },
            paths={n: str(h.path) for n, h in held.items()},
        )
        missing = tuple(reader.plan(names, list(self.spec.sources)))
        seconds, size = reader.estimate(names, self.spec.sources) if missing else (0.0, 0)
        return ArtifactsSeen(outputs, missing, seconds, size)

    def nothing(self) -> ArtifactsSeen:
        raise AssertionError("artifacts stand on nothing and can always be observed")

    def outputs(self, seen: ArtifactsSeen) -> ArtifactsOutputs:
        return seen.outputs

    def steps(self, seen: ArtifactsSeen) -> Iterator[Step]:
        """One after the other: each build uses all cores."""
        before: tuple[str, ...] = ()
        for action in seen.missing:
            step = Step(",".join(action.names), action.describe(), (action,), before)
            yield step
            before = (step.id,)

    def notes(self, seen: ArtifactsSeen) -> list[str]:
        if not seen.missing:
            return []
        minutes, gigabytes = math.ceil(seen.seconds / 60), seen.size_bytes / 1e9
        return [
            f"from nothing it takes about {minutes} min and {gigabytes:.1f} GB of disk, once; "
            "what Go has compiled before is used again (disco artifacts clean frees that space)"
        ]

    async def status(self, world: World) -> list[StatusLine]:
        return []
