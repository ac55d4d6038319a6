"""Charts as helm itself renders them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
CHARTS = sorted(path.parent.name for path in (ROOT / "charts").glob("*/Chart.yaml"))
CACHE = Path(os.environ.get("DISCO_CACHE") or platformdirs.user_cache_dir("disco"))

Object = dict[str, Any]


@cache
def find(name: str) -> str | None:
    """The program named by DISCO_TEST_<NAME>, or the newest of DISCO's own cache, or on PATH."""
    held = sorted((CACHE / "programs" / name).glob(f"*/{name}"), key=lambda p: p.stat().st_mtime)
    return os.environ.get(f"DISCO_TEST_{name.upper()}") or next(
        (str(path) for path in reversed(held)), shutil.which(name)
    )


def program(name: str) -> str:
    """A program that a test can't do without."""
    found = find(name)
    if found is None:
        pytest.skip(f"no {name}: set DISCO_TEST_{name.upper()} or put it on PATH")
    return found


def parse(text: str) -> Any:
    """YAML 1.1, as helm and Kubernetes read it."""
    return yaml.safe_load(text)


def parse_all(text: str) -> list[Object]:
    return [thing for thing in yaml.safe_load_all(text) if thing]


@dataclass
class Rendered:
    """What a chart makes of some values."""

    objects: list[Object] = field(default_factory=list)

    def one(self, kind: str, name: str) -> Object:
        return next(o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name))

    def of(self, *kinds: str) -> list[Object]:
        return [o for o in self.objects if o["kind"] in kinds]

    def pods(self) -> list[tuple[str, Object]]:
        """Pod specifications, by the name of what makes them; helper pods of storage too."""
        made = self.of("Deployment", "StatefulSet", "DaemonSet")
        specs = [(o["metadata"]["name"], o["spec"]["template"]["spec"]) for o in made]
        texts = [
            o["data"]["helperPod.yaml"]
            for o in self.of("ConfigMap")
            if "helperPod.yaml" in o["data"]
        ]
        return specs + [("volume-helper", yaml.safe_load(text)["spec"]) for text in texts]

    def containers(self) -> list[tuple[str, Object]]:
        return [
            (f"{name}/{container['name']}", container)
            for name, pod in self.pods()
            for container in [*pod.get("initContainers", []), *pod["containers"]]
        ]


Render = Callable[..., Rendered]
Refusal = Callable[..., str]


def template(
    helm: str, chart: str, values: Object, release: str
) -> subprocess.CompletedProcess[str]:
    command = [helm, "template", release, str(ROOT / "charts" / chart), "-n", "place", "-f", "-"]
    # JSON, because helm reads YAML 1.1, where a bare y is true
    text = json.dumps(values)
    return subprocess.run(
        command, input=text, text=True, capture_output=True, timeout=60, check=False
    )
