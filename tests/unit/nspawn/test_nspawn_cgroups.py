from __future__ import annotations

from pathlib import Path

import pytest

from disco.nspawn import cgroups
from disco.nspawn.machine import Machine, Network

NETWORK = Network("0a1b2c3d", "10.88.210.0/24", "/state/hosts")
HOST = Machine(NETWORK, "h1", "10.88.210.11", memory_mb=512, cpus=1.5)


def mount(kind: str, path: Path, options: str, root: str = "/") -> str:
    return f"33 31 0:30 {root} {path} rw,relatime shared:9 - {kind} {kind} rw,{options}"


@pytest.fixture
def v1(tmp_path: Path) -> list[cgroups.Hierarchy]:
    own = "9:name=systemd:/\n4:memory:/job/a\n3:cpu,cpuacct:/\n2:cpuset:/\n0::/\n"
    lines = [
        mount("cgroup", tmp_path / "systemd", "xattr,name=systemd"),
        mount("cgroup", tmp_path / "memory", "memory"),
        mount("cgroup", tmp_path / "cpu,cpuacct", "cpu,cpuacct"),
        mount("cgroup", tmp_path / "cpuset", "cpuset"),
        mount("cgroup2", tmp_path / "unified", "nsdelegate"),
        "22 1 0:20 / /proc rw,nosuid - proc proc rw",
    ]
    for name in ("systemd", "memory/job/a", "cpu,cpuacct", "cpuset", "unified"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    return cgroups.hierarchies(own, "\n".join(lines))


@pytest.fixture
def v2(tmp_path: Path) -> list[cgroups.Hierarchy]:
    session = tmp_path / "user.slice/session-3.scope"
    session.mkdir(parents=True)
    for group in (tmp_path, session.parent, session):
        (group / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    own = "0::/user.slice/session-3.scope\n"
    return cgroups.hierarchies(own, mount("cgroup2", tmp_path, "nsdelegate"))


def test_v1_has_the_callers_own_group_in_every_hierarchy(
    v1: list[cgroups.Hierarchy], tmp_path: Path
) -> None:
    owns = {str(h.own.relative_to(tmp_path)) for h in v1}
    assert owns == {"systemd", "memory/job/a", "cpu,cpuacct", "cpuset", "unified"}
    assert not cgroups.is_unified(v1)


def test_v1_groups_are_made_below_the_own_ones_with_limits(
    v1: list[cgroups.Hierarchy], tmp_path: Path
) -> None:
    groups = cgroups.make(HOST, v1)
    assert all(group.top == group.enter and group.top.is_dir() for group in groups)
    memory = tmp_path / "memory/job/a" / HOST.id
    assert (memory / "memory.limit_in_bytes").read_text() == str(512 * 1024 * 1024)
    cpu = tmp_path / "cpu,cpuacct" / HOST.id
    assert (cpu / "cpu.cfs_quota_us").read_text() == "150000"
    assert (tmp_path / "cpuset" / HOST.id / "cpuset.cpus").read_text() == "0-1\n"


def test_making_groups_again_changes_nothing(v1: list[cgroups.Hierarchy]) -> None:
    assert cgroups.make(HOST, v1) == cgroups.make(HOST, v1)


def test_a_host_without_limits_gets_none(v1: list[cgroups.Hierarchy], tmp_path: Path) -> None:
    cgroups.make(Machine(NETWORK, "free", "10.88.210.12"), v1)
    assert not list(tmp_path.rglob("memory.limit_in_bytes"))
    assert not list(tmp_path.rglob("cpu.cfs_quota_us"))


def test_v2_hands_controllers_down_and_nspawn_enters_a_group_of_its_own(
    v2: list[cgroups.Hierarchy], tmp_path: Path
) -> None:
    assert cgroups.is_unified(v2)
    session = tmp_path / "user.slice/session-3.scope"
    top = session / HOST.id
    top.mkdir()
    (top / "cgroup.controllers").write_text("cpu memory\n")
    (top / "memory.max").write_text("max")
    (top / "cpu.max").write_text("max 100000")
    assert cgroups.make(HOST, v2) == [cgroups.Group(top, top / "host")]
    assert (session / "cgroup.subtree_control").read_text() == "+cpuset +cpu +memory +pids"
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (top / "memory.max").read_text() == str(512 * 1024 * 1024)
    assert (top / "cpu.max").read_text() == "150000 100000"


def test_v2_goes_up_where_a_group_cannot_hand_down(
    v2: list[cgroups.Hierarchy], tmp_path: Path
) -> None:
    slice_ = tmp_path / "user.slice"
    (slice_ / "session-3.scope/cgroup.controllers").write_text("\n")
    (slice_ / HOST.id).mkdir()
    (slice_ / HOST.id / "cgroup.controllers").write_text("memory\n")
    assert cgroups.make(HOST, v2)[0].top == slice_ / HOST.id


def test_a_mount_of_a_part_of_a_hierarchy_is_understood(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    found = cgroups.hierarchies(
        "4:memory:/box/inner\n", mount("cgroup", tmp_path, "memory", root="/box")
    )
    assert [h.own for h in found] == [tmp_path / "inner"]


def test_groups_are_found_by_name_wherever_they_are(
    v1: list[cgroups.Hierarchy], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "memory/other/session" / HOST.id
    (elsewhere / "kubepods/disco-0a1b2c3d-inner").mkdir(parents=True)
    (tmp_path / "memory/disco-99999999-h1/x").mkdir(parents=True)
    assert cgroups.named("disco-0a1b2c3d-", v1) == [elsewhere]
