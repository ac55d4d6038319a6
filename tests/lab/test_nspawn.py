"""Real hosts: systemd-nspawn, network namespaces, cgroups, sshd. Needs root and a base.

The base is `$DISCO_LAB_BASE`, or the newest one in DISCO's cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from disco.engine.action import Action
from disco.engine.secret import SecretRef
from disco.nspawn import running, shared
from disco.nspawn.actions import (
    BootHost,
    MakeHost,
    MakeNetwork,
    RemoveHost,
    RemoveNetwork,
    StopHost,
)
from disco.nspawn.executors import executors
from disco.nspawn.machine import Machine, Network
from disco.nspawn.reader import HostSeen, Nspawn, NspawnSeen, leftovers
from dying import deaths

T = TypeVar("T")

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
LOGIN = SecretRef("login", "public")
SSH_WITHIN_S = 20.0


def base() -> str:
    cache = Path.home() / ".cache/disco/rootfs"
    found = sorted(cache.glob("*/root"), key=lambda path: path.stat().st_mtime)
    path = os.environ.get("DISCO_LAB_BASE") or (str(found[-1]) if found else "")
    assert path, "no base file system: build one, or set DISCO_LAB_BASE"
    return path


@dataclass
class Lab:
    """A stack's network and its hosts, with keys made by ssh-keygen."""

    network: Network
    machines: list[Machine]
    keys: Path
    secrets: dict[SecretRef, str]

    def carry_out(self, *actions: Action) -> None:
        """All at once, as the engine would."""

        async def run() -> None:
            known = executors(lambda ref: self.secrets[ref])
            async with asyncio.TaskGroup() as group:
                for action in actions:
                    group.create_task(
                        _awaited(known[action.kind](action, lambda note, share: None))
                    )

        asyncio.run(run())

    def make(self, machine: Machine) -> MakeHost:
        private, public = SecretRef(machine.name, "private"), SecretRef(machine.name, "public")
        return MakeHost(machine, base(), private, public, (LOGIN,))

    def up(self) -> None:
        self.carry_out(MakeNetwork(self.network))
        self.carry_out(*(self.make(m) for m in self.machines))
        self.carry_out(*(BootHost(m) for m in self.machines))

    def down(self) -> None:
        self.carry_out(*(RemoveHost(m) for m in self.machines))
        self.carry_out(RemoveNetwork(self.network))

    def seen(self) -> NspawnSeen:
        return asyncio.run(Nspawn().seen(self.network, self.machines))

    def host(self, machine: Machine) -> HostSeen:
        return self.seen().host(machine.name)

    def ssh(self, machine: Machine, command: str) -> str | None:
        """Its output; None when it failed or did not answer. Only the pinned key is accepted."""
        options = {
            "UserKnownHostsFile": self.keys / f"{machine.name}.known",
            "HostKeyAlias": machine.name,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": 2,
        }
        argv = ["ssh", "-q", "-F", "/dev/null", "-i", str(self.keys / "login")]
        argv += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        argv += [f"root@{machine.address}", command]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=15)
        except subprocess.TimeoutExpired:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def answer(self, machine: Machine, command: str = "echo yes") -> str:
        return until(lambda: self.ssh(machine, command), SSH_WITHIN_S)


async def _awaited(work: Awaitable[None]) -> None:
    await work


def until(condition: Callable[[], T | None], within_s: float = 20.0) -> T:
    ends = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < ends, "gave up waiting"
        time.sleep(0.05)
    return value


def make_key(folder: Path, name: str) -> dict[SecretRef, str]:
    path = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True
    )
    public = path.with_suffix(".pub").read_text()
    path.with_name(f"{name}.known").write_text(f"{name} {public}")
    return {SecretRef(name, "private"): path.read_text(), SecretRef(name, "public"): public}


def new_lab(folder: Path, subnet: int, names: Sequence[str]) -> Lab:
    stack_id = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    network = Network(stack_id, f"10.88.{subnet}.0/24", str(folder / "hosts"))
    keys = folder / "keys"
    keys.mkdir(parents=True)
    secrets: dict[SecretRef, str] = {}
    for name in (*names, "login"):
        secrets |= make_key(keys, name)
    machines = [Machine(network, n, f"10.88.{subnet}.{i}") for i, n in enumerate(names, 11)]
    return Lab(network, machines, keys, secrets)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Three hosts, not made yet; nothing of them is left afterwards, however the test ends."""
    one = new_lab(tmp_path, 200, ("h1", "h2", "control-plane-3"))
    yield one
    one.down()
    assert leftovers(one.network.id) == []


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Lab, Machine]]:
    """One host that runs."""
    one = new_lab(tmp_path, 201, ("h1",))
    try:
        one.up()
        one.answer(one.machines[0])
        yield one, one.machines[0]
    finally:
        one.down()
    assert leftovers(one.network.id) == []


def test_three_hosts_boot_at_once_answer_by_ssh_and_leave_nothing(lab: Lab) -> None:
    before = machine_state(lab)
    lab.carry_out(MakeNetwork(lab.network))
    lab.carry_out(*(lab.make(m) for m in lab.machines))
    started = time.monotonic()
    lab.carry_out(*(BootHost(m) for m in lab.machines))
    for machine in lab.machines:
        lab.answer(machine)
    print(f"\nboot to SSH, three hosts at once: {time.monotonic() - started:.1f} s")
    seen = lab.seen()
    assert seen.network
    assert all(h.made and h.running and h.boot == 1 and not h.halves for h in seen.hosts)
    first, second, third = lab.machines
    assert lab.answer(first, "hostname; systemctl is-system-running --wait") == "h1\nrunning"
    assert lab.answer(first, f"ping -c 1 -W 2 {second.address} > /dev/null && echo ok") == "ok"
    assert lab.answer(third, "hostname") == "control-plane-3"
    assert machine_state(lab)["processes"]

    lab.down()
    assert leftovers(lab.network.id) == []
    assert not Path(lab.network.folder).exists()
    after = machine_state(lab)
    for what in before.keys() & after.keys():
        assert after[what] == before[what], what


def test_looking_is_quick_and_changes_nothing(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    ten = [replace(machine, name=f"h{i}", address=f"10.88.201.{10 + i}") for i in range(1, 11)]
    before = machine_state(lab)
    started = time.monotonic()
    seen = asyncio.run(Nspawn().seen(lab.network, ten))
    took_s = time.monotonic() - started
    print(f"\nlooking at ten hosts: {1000 * took_s:.0f} ms")
    assert [h.name for h in seen.hosts if h.running] == ["h1"]
    assert took_s < 0.25
    after = machine_state(lab)
    assert all(after[what] == before[what] for what in before.keys() & after.keys())


def test_a_reboot_from_inside_comes_back_as_a_new_boot(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    old = lab.answer(machine, BOOT_ID)
    pods = "/sys/fs/cgroup/memory/kubepods/pod1"
    lab.answer(machine, f"mkdir -p {pods} && echo made")
    before = running.read(machine)
    started = time.monotonic()
    lab.ssh(machine, "systemctl reboot")
    until(lambda: lab.host(machine).boot == 2, 30)
    until(lambda: (new := lab.ssh(machine, BOOT_ID)) and new != old)
    print(f"\nreboot to SSH: {time.monotonic() - started:.1f} s")
    assert lab.ssh(machine, f"test -e {pods} && echo still") is None
    after = running.read(machine)
    assert before and after
    assert (after.keeper, after.nspawn != before.nspawn) == (before.keeper, True)


def test_a_poweroff_from_inside_is_seen_and_the_host_boots_again(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    lab.ssh(machine, "systemctl poweroff")
    until(lambda: not lab.host(machine).running)
    lab.carry_out(BootHost(machine))
    lab.answer(machine)
    assert lab.host(machine).running


@pytest.mark.parametrize("victims", [("nspawn",), ("keeper",), ("keeper", "nspawn")])
def test_a_killed_host_is_seen_as_down_and_boots_again(
    host: tuple[Lab, Machine], victims: tuple[str, ...]
) -> None:
    lab, machine = host
    lab.answer(machine, "setsid sleep 424242 > /dev/null 2>&1 & echo started")
    now = running.read(machine)
    assert now
    for victim in victims:
        os.kill(getattr(now, victim), signal.SIGKILL)
    until(lambda: not lab.host(machine).running)
    assert lab.host(machine).halves
    lab.carry_out(BootHost(machine))
    lab.answer(machine)
    assert lab.host(machine).running
    assert not any("424242" in line for line in processes(lab.network.id))
    again = running.read(machine)
    assert again
    assert again.nspawn != now.nspawn


def test_booting_a_running_host_leaves_it_alone(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    boot_id = lab.answer(machine, BOOT_ID)
    lab.carry_out(MakeNetwork(lab.network), lab.make(machine), BootHost(machine))
    assert lab.answer(machine, BOOT_ID) == boot_id


def test_a_stop_is_an_orderly_poweroff(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    unit = (
        "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\n"
        "ExecStart=/bin/true\\nExecStop=/bin/touch /in-order\\n"
    )
    lab.answer(
        machine,
        f"printf '{unit}' > /etc/systemd/system/mark.service && systemctl start mark && echo ok",
    )
    started = time.monotonic()
    lab.carry_out(StopHost(machine))
    print(f"\nstop: {time.monotonic() - started:.1f} s")
    assert (machine.root / "in-order").exists()
    assert not lab.host(machine).running
    assert not lab.host(machine).halves
    assert lab.host(machine).made


def test_a_stop_right_after_the_start_is_bounded(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    for _ in range(3):
        lab.carry_out(StopHost(machine))
        lab.carry_out(BootHost(machine))
    started = time.monotonic()
    lab.carry_out(StopHost(machine))
    took_s = time.monotonic() - started
    print(f"\nstop right after the start: {took_s:.1f} s")
    assert took_s < 15, "the poweroff was not heard"
    assert lab.host(machine).halves == ()


def test_limits_hold_for_the_whole_host(tmp_path: Path) -> None:
    lab = new_lab(tmp_path, 202, ("h1",))
    machine = replace(lab.machines[0], memory_mb=256, cpus=0.5)
    lab.machines = [machine]
    try:
        lab.up()
        lab.answer(machine)
        eater = "python3 -c 'x = bytearray(400 << 20); print(len(x))'"
        assert lab.ssh(machine, eater) is None
        assert lab.answer(machine, eater.replace("400", "100")) == str(100 << 20)
    finally:
        lab.down()
    assert leftovers(lab.network.id) == []


def test_two_stacks_have_hosts_of_one_name_at_once(tmp_path: Path) -> None:
    labs = [new_lab(tmp_path / name, subnet, ("h1",)) for name, subnet in (("a", 203), ("b", 204))]
    panic = Path("/proc/sys/kernel/panic").read_text()
    try:
        for lab in labs:
            lab.up()
        for lab in labs:
            lab.answer(lab.machines[0])
        lab.answer(lab.machines[0], "sysctl -q -w kernel.panic=17 && echo set")
        labs[0].down()
        assert leftovers(labs[0].network.id) == []
        assert labs[1].answer(labs[1].machines[0], "hostname") == "h1"
        assert Path("/proc/sys/kernel/panic").read_text() == "17\n"
    finally:
        for lab in labs:
            lab.down()
    assert Path("/proc/sys/kernel/panic").read_text() == panic or other_stacks("")


def test_a_second_stack_on_the_same_network_is_told_before_anything_is_made(
    host: tuple[Lab, Machine], tmp_path: Path
) -> None:
    other = new_lab(tmp_path / "other", 201, ("h1",))
    errors = asyncio.run(Nspawn().preflight(other.network, other.machines))
    assert [e.what for e in errors] == ["the network 10.88.201.0/24 of the local hosts is taken"]
    assert "another stack's" in errors[0].why


def test_a_network_with_running_hosts_is_not_removed(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    with pytest.raises(ExceptionGroup) as caught:
        lab.carry_out(RemoveNetwork(lab.network))
    assert caught.group_contains(Exception, match="h1 still runs")
    assert lab.answer(machine) == "yes"


def test_killed_at_any_point_of_the_network_the_next_run_goes_on(lab: Lab) -> None:
    died = 0
    for point in deaths(MakeNetwork(lab.network), lab.secrets):
        died = point
        lab.carry_out(MakeNetwork(lab.network))
        assert lab.seen().network
        lab.carry_out(RemoveNetwork(lab.network))
    assert died >= 6
    for point in deaths(RemoveNetwork(lab.network), lab.secrets):
        died = point
        lab.carry_out(RemoveNetwork(lab.network))
        assert leftovers(lab.network.id) == []
        lab.carry_out(MakeNetwork(lab.network))
    assert died >= 4


def test_killed_at_any_moment_of_the_copy_the_next_run_makes_the_host(lab: Lab) -> None:
    machine = lab.machines[0]
    lab.machines = [machine]
    for moment_s in (0.05, 0.3, 0.8):
        child = os.fork()
        if child == 0:
            lab.carry_out(lab.make(machine))
            os._exit(0)
        time.sleep(moment_s)  # the point is to die at some moment, whichever it is
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lab.carry_out(lab.make(machine))
        assert lab.host(machine) == HostSeen("h1", True, False, address=machine.address)
        lab.carry_out(RemoveHost(machine))
        assert not machine.folder.exists()


def test_killed_at_any_point_of_the_boot_the_next_run_boots(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    lab.carry_out(StopHost(machine))
    died = 0
    for point in deaths(BootHost(machine), lab.secrets):
        died = point
        lab.carry_out(BootHost(machine))
        seen = lab.host(machine)
        assert seen.running, f"after a death at point {point}"
        assert lab.answer(machine), f"after a death at point {point}"
        assert len(nspawns(lab.network.id)) == 1
        lab.carry_out(StopHost(machine))
        assert lab.host(machine).halves == ()
    print(f"\npoints of the boot: {died}")
    assert died >= 6


def test_killed_at_any_point_of_the_stop_the_next_run_stops(host: tuple[Lab, Machine]) -> None:
    lab, machine = host
    died = 0
    for point in deaths(StopHost(machine), lab.secrets):
        died = point
        lab.carry_out(StopHost(machine))
        assert lab.host(machine).halves == ()
        assert not processes(lab.network.id)
        lab.carry_out(BootHost(machine))
        lab.answer(machine)
    print(f"\npoints of the stop: {died}")
    assert died >= 6


def test_killed_at_any_point_of_the_removal_the_next_run_removes(lab: Lab, tmp_path: Path) -> None:
    """With a base too small to boot: a running host's end is the test before this one."""
    small = tmp_path / "small"
    for folder in ("etc/ssh", "root", "sbin"):
        (small / folder).mkdir(parents=True)
    (small / "sbin/init").touch()
    machine = lab.machines[0]
    make = replace(lab.make(machine), base=str(small))
    lab.carry_out(make)
    died = 0
    for point in deaths(RemoveHost(machine), lab.secrets):
        died = point
        lab.carry_out(RemoveHost(machine))
        assert not machine.folder.exists()
        lab.carry_out(make)
    print(f"\npoints of the removal: {died}")
    assert died >= 6


def nspawns(stack_id: str) -> list[str]:
    return [line for line in leftovers(stack_id) if "systemd-nspawn " in line]


def processes(stack_id: str) -> list[str]:
    """Everything that runs in a host of the stack, or for one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            groups = (folder / "cgroup").read_text()
        except OSError:
            continue
        if f"disco-{stack_id}-" in words or f"disco-{stack_id}-" in groups:
            found.append(f"{folder.name} {words}")
    return found


def machine_state(lab: Lab) -> dict[str, object]:
    """What must be as before. Names of other stacks, which may come and go, are left out."""
    stack_id = lab.network.id
    other = re.compile(rf"disco-(?!{stack_id})|dsc(?!{stack_id[:6]})|^d(?!{stack_id[:4]})\w{{4}}-")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    links = [path.name for path in Path("/sys/class/net").iterdir()]
    groups = [str(path) for path in Path("/sys/fs/cgroup").rglob("disco-*")]
    state: dict[str, object] = {
        "processes": [line.split()[0] for line in processes(stack_id)],
        "links": sorted(name for name in links if not other.search(name)),
        "cgroups": sorted(group for group in groups if not other.search(group)),
    }
    if other_stacks(stack_id):
        return state
    return state | {
        "mounts": sorted(line.split(" ", 3)[3] for line in mounts),
        "run": sorted(str(path) for path in Path("/run").rglob("*")),
        "sysctls": sysctls(),
    }


def other_stacks(stack_id: str) -> set[str]:
    """Those whose hosts may change what all share, at any time."""
    if not shared.RECORD.exists():
        return set()
    return set(json.loads(shared.RECORD.read_text())["stacks"]) - {stack_id}


def sysctls() -> dict[str, str]:
    """All settings of the one kernel, except those that change by themselves."""
    restless = re.compile(r"random/|ns_last_pid|inode-|file-nr|dentry-|aio-nr|pty/nr|inode|tainted")
    found = {}
    for top in ("fs", "kernel", "vm"):
        for path in Path("/proc/sys", top).rglob("*"):
            if restless.search(str(path)) or not path.is_file():
                continue
            try:
                found[str(path)] = path.read_text(errors="replace")
            except OSError:
                continue  # write only
    return found
