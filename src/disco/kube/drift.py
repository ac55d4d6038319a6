"""What people changed by hand: the objects as they were applied, compared with what is there.

Most objects need one GET: every field that was applied is there with its value. Where it looks
different (the server writes `1000m` as `1`), the server itself is asked by a dry run what applying
the same again would change.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from disco.engine.drift import Difference
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.paths import path_of

if TYPE_CHECKING:
    from disco.kube.reader import Kube

HELM = "helm"
VOLATILE = ("managedFields", "resourceVersion", "generation", "annotations")


async def of_release(
    kube: Kube, cluster: Cluster, name: str, namespace: str, revision: int
) -> list[Difference]:
    """Each field of a release's objects that is not as helm applied it."""
    path = f"/api/v1/namespaces/{namespace}/secrets/sh.helm.release.v1.{name}.v{revision}"
    secret = await kube.find(cluster, path)
    if secret is None:
        return [Difference(f"revision {revision} of {name}", "", "gone")]
    return await of_objects(kube, cluster, manifest(secret, namespace), HELM)


async def of_objects(
    kube: Kube, cluster: Cluster, objects: Iterable[dict[str, Any]], manager: str
) -> list[Difference]:
    """The same for objects that were applied by `manager`."""
    found = await asyncio.gather(*(_of_one(kube, cluster, o, manager) for o in objects))
    return [line for lines in found for line in lines]


async def _of_one(
    kube: Kube, cluster: Cluster, wanted: dict[str, Any], manager: str
) -> list[Difference]:
    name = f"{wanted['kind']} {wanted['metadata']['name']}"
    live = await kube.find(cluster, path_of(wanted))
    if live is None:
        return [Difference(name, "", "gone")]
    if not list(fields(_comparable(wanted), live)):
        return []
    again = await _applied_again(kube, cluster, wanted, manager)
    secret = wanted["kind"] == "Secret"  # where, but never what
    return [
        Difference(
            name,
            field.name,
            "another" if secret else _short(field.now),
            "" if secret else _short(field.declared),
            owner(live, field.path),
        )
        for field in fields(_stable(again), _stable(live))
    ]


async def _applied_again(
    kube: Kube, cluster: Cluster, wanted: dict[str, Any], manager: str
) -> dict[str, Any]:
    with translated(cluster, f"dry run of {wanted['kind']} {wanted['metadata']['name']}"):
        answer = await kube.http(cluster).patch(
            path_of(wanted),
            params={"fieldManager": manager, "force": "true", "dryRun": "All"},
            content=json.dumps(wanted),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def manifest(secret: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    """The objects of a release out of the Secret in which helm keeps it."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    return list(_objects(json.loads(gzip.decompress(packed))["manifest"], namespace))


@lru_cache(maxsize=32)  # waiting for a release looks at the same ones again and again
def _objects(text: str, namespace: str) -> tuple[dict[str, Any], ...]:
    """Nobody changes them."""
    # YAML 1.1, as helm and the API server read it: 0400 is 256.
    objects = tuple(o for o in yaml.load_all(text, Loader=yaml.CSafeLoader) if o)
    for thing in objects:
        thing["metadata"].setdefault("namespace", namespace)
    return objects


def _comparable(wanted: dict[str, Any]) -> dict[str, Any]:
    """A Secret's text as the server keeps it."""
    if "stringData" not in wanted:
        return wanted
    shown = {k: v for k, v in wanted.items() if k != "stringData"}
    texts = wanted["stringData"].items()
    shown["data"] = {k: base64.b64encode(v.encode()).decode() for k, v in texts}
    return shown


def _stable(thing: dict[str, Any]) -> dict[str, Any]:
    """Without what changes by itself."""
    shown = copy.deepcopy(thing)
    shown.pop("status", None)
    for key in VOLATILE:
        shown["metadata"].pop(key, None)
    return shown


@dataclass(frozen=True)
class Field:
    """A place in an object, and the two values of it."""

    path: tuple[str | int, ...]
    now: Any
    declared: Any

    @property
    def name(self) -> str:
        """`spec.template.spec.containers[0].image`."""
        text = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in self.path)
        return text.removeprefix(".")


def fields(wanted: Any, live: Any, path: tuple[str | int, ...] = ()) -> Iterator[Field]:
    """Where `live` lacks something of `wanted` or has another value; more than wanted is fine."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key, value in wanted.items():
            yield from fields(value, live.get(key), (*path, str(key)))
    elif isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from fields(one, other, (*path, number))
    elif not _same(wanted, live):
        yield Field(path, live, wanted)


def owner(live: dict[str, Any], path: tuple[str | int, ...]) -> str:
    """Who set a field last, as the server notes it in `managedFields`; empty when nobody is
    noted, as for a field that was removed."""
    found = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in live.get("metadata", {}).get("managedFields", ())
        if _holds(entry.get("fieldsV1", {}), live, path)
    ]
    if not found:
        return ""
    at, manager = max(found)
    return f"{manager} {at}".strip()


def _holds(noted: Any, live: Any, path: tuple[str | int, ...]) -> bool:
    """Whether a tree of noted fields has this path. What is noted without its parts is whole."""
    if not path or not [k for k in noted if k != "."]:
        return True
    key, *rest = path
    if not isinstance(live, (dict, list)):
        return False
    if isinstance(key, str):
        inner = live.get(key) if isinstance(live, dict) else None
        return f"f:{key}" in noted and _holds(noted[f"f:{key}"], inner, tuple(rest))
    item = live[key]
    for name, deeper in noted.items():
        if name.startswith("k:") and isinstance(item, dict):
            wanted = json.loads(name[2:])
            if all(item.get(k) == v for k, v in wanted.items()):
                return _holds(deeper, item, tuple(rest))
        if name.startswith("v:") and json.loads(name[2:]) == item:
            return True
    return False


def _same(wanted: Any, live: Any) -> bool:
    empty: tuple[Any, ...] = (None, "", [], {}, False, 0)
    return wanted == live or (wanted in empty and live in empty)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
