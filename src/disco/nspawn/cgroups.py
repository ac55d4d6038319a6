"""The cgroups of a host: one in every hierarchy, below the caller's own.

With a cgroup namespace each of them becomes the root that the host sees, so two kubelets never
share a group. Kernels offer the old hierarchies (v1, one per controller), the new one (v2), or
both at once, where the new one carries no controllers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from disco.nspawn.machine import Machine

PERIOD_US = 100_000


@dataclass(frozen=True)
class Hierarchy:
    """Where a hierarchy is mounted, the caller's own group in it, and its v1 controllers."""

    mount: Path
    own: Path
    controllers: frozenset[str]

    @property
    def is_v2(self) -> bool:
        return not self.controllers


@dataclass(frozen=True)
class Group:
    """top: removed last, carries the limits; enter: where nspawn starts."""

    top: Path
    enter: Path


def hierarchies(own: str = "", mounts: str = "") -> list[Hierarchy]:
    """From the text of /proc/self/cgroup and /proc/self/mountinfo."""
    own = own or Path("/proc/self/cgroup").read_text()
    mounts = mounts or Path("/proc/self/mountinfo").read_text()
    paths = [line.split(":", 2) for line in own.splitlines()]
    found: dict[frozenset[str], Hierarchy] = {}
    for line in mounts.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, mount = fields.split(" ")[3:5]
        for _, names, path in paths:
            wanted = frozenset(filter(None, names.split(",")))
            if _fits(kind, wanted, options) and wanted not in found:
                where = Path(mount)
                found[wanted] = Hierarchy(where, _below(where, root, path), wanted)
    return list(found.values())


def is_unified(found: list[Hierarchy]) -> bool:
    return bool(found) and all(h.is_v2 for h in found)


def make(machine: Machine, found: list[Hierarchy]) -> list[Group]:
    """Make the host's groups, with its limits. Repeating it changes nothing."""
    if is_unified(found):
        return [_make_v2(machine, found[0])]
    return [_make_v1(machine, h) for h in found]


def named(prefix: str, found: list[Hierarchy] | None = None) -> list[Path]:
    """All groups whose name begins so, anywhere: another session's own group may be elsewhere."""
    groups: list[Path] = []
    for hierarchy in hierarchies() if found is None else found:
        for folder, below, _ in os.walk(hierarchy.mount):
            hits = [name for name in below if name.startswith(prefix)]
            groups += [Path(folder) / name for name in hits]
            below[:] = [name for name in below if not name.startswith("disco-")]
    return groups


def _fits(kind: str, wanted: frozenset[str], options: str) -> bool:
    if kind == "cgroup2":
        return not wanted
    return bool(wanted) and wanted <= set(options.strip().split(","))


def _below(mount: Path, root: str, path: str) -> Path:
    """A mount may show a part of its hierarchy only; `path` counts from the hierarchy's root."""
    if root != "/" and (path + "/").startswith(root + "/"):
        path = path[len(root) :]
    inner = mount / path.strip("/")
    return inner if inner.is_dir() else mount


def _make_v1(machine: Machine, hierarchy: Hierarchy) -> Group:
    top = hierarchy.own / machine.id
    top.mkdir(exist_ok=True)
    if "cpuset" in hierarchy.controllers:
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group; nothing can run there
            (top / name).write_text((hierarchy.own / name).read_text())
        (top / "cgroup.clone_children").write_text("1")
    if "memory" in hierarchy.controllers and machine.memory_mb:
        (top / "memory.limit_in_bytes").write_text(str(machine.memory_mb << 20))
    if "cpu" in hierarchy.controllers and machine.cpus:
        (top / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (top / "cpu.cfs_quota_us").write_text(str(int(machine.cpus * PERIOD_US)))
    return Group(top, top)


def _make_v2(machine: Machine, hierarchy: Hierarchy) -> Group:
    """A group with processes of its own can't hand controllers down; then its parent is tried."""
    parent = hierarchy.own
    while not _hand_down(parent) and parent != hierarchy.mount:
        parent = parent.parent
    top = parent / machine.id
    top.mkdir(exist_ok=True)
    _hand_down(top)
    if machine.memory_mb and (top / "memory.max").exists():
        (top / "memory.max").write_text(str(machine.memory_mb << 20))
    if machine.cpus and (top / "cpu.max").exists():
        (top / "cpu.max").write_text(f"{int(machine.cpus * PERIOD_US)} {PERIOD_US}")
    # nspawn gets a group that is new at each boot: one that hands down can't be entered again.
    return Group(top, top / "host")


def _hand_down(group: Path) -> bool:
    """Give every controller that the group has to the groups below it."""
    there = (group / "cgroup.controllers").read_text().split()
    if not there:
        return False
    try:
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in there))
    except OSError:
        return False
    return True
