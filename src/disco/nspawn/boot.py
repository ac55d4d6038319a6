"""A host comes up and goes down: its cable, its cgroups, its keeper.

Whoever boots a host first takes its lock, sweeps away what an interrupted or killed run left, and
hands the lock over to the keeper, which holds it for as long as it lives. So at every point there
is at most one who builds or holds a host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.nspawn import cgroups, launch, running, sweep
from disco.nspawn.machine import Machine
from disco.nspawn.outside import run

PAUSE_S = 0.03
UP_WITHIN_S = 30.0
DOWN_WITHIN_S = launch.GRACE_S + 25.0  # the keeper's grace, and its sweep of the cgroups
CONSOLE_LINES = 8
POWEROFF = signal.SIGRTMIN + 3  # systemd(1): start poweroff.target
LINKS = Path("/sys/class/net")
RUN_NSPAWN = Path("/run/systemd/nspawn")


async def boot(machine: Machine, report: Report) -> None:
    """Returns when the host's own PID 1 runs. Nothing to do for a host that runs."""
    if not machine.root.is_dir():
        raise DiscoError(
            f"the local host {machine.name} has not been made",
            where=str(machine.folder),
            fix="run again: it is made first",
        )
    if not (LINKS / machine.network.bridge).exists():
        raise DiscoError(
            f"the network of the local hosts, {machine.network.bridge}, is not there",
            where=machine.name,
            fix="run again: it is made first",
        )
    lock = await _lock_unless_up(machine)
    if lock is not None:
        try:
            await _start(machine, lock, report)
        finally:
            os.close(lock)
    await _await_init(machine)


async def stop(machine: Machine, report: Report) -> None:
    """Returns when nothing of the running host is left."""
    if not machine.folder.is_dir():
        await clear(machine)
        return
    report(f"powering off {machine.name}", None)
    lock = await _lock_after_end(machine)
    try:
        await clear(machine)
    finally:
        os.close(lock)


async def clear(machine: Machine) -> None:
    """Sweep away what runs of a host that nobody keeps, whole or half."""
    _kill_nspawn(machine)
    groups = [str(group) for group in cgroups.named(machine.id) if group.name == machine.id]
    stuck = await asyncio.to_thread(sweep.remove, groups)
    if stuck:
        raise DiscoError(
            f"processes of {machine.name} do not end",
            where=machine.name,
            why=f"pids {sorted(stuck)} after SIGKILL",
            fix="see what they wait for (`cat /proc/PID/stack`), then run again",
        )
    if (LINKS / machine.link).exists():
        await run(["ip", "link", "del", machine.link])
    if machine.netns.exists():
        await run(["ip", "netns", "del", machine.id])
    _remove_traces(machine)


async def _start(machine: Machine, lock: int, report: Report) -> None:
    await clear(machine)
    report(f"plugging in {machine.name}", None)
    await _plug_in(machine)
    found = cgroups.hierarchies()
    groups = cgroups.make(machine, found)
    launch.write_orders(machine, groups, cgroups.is_unified(found))
    report(f"booting {machine.name}", None)
    await _start_keeper(machine, lock)


async def _plug_in(machine: Machine) -> None:
    """A namespace, and a cable from its eth0 to the bridge."""
    network, link = machine.network, machine.link
    outer = (
        f"netns add {machine.id}\n"
        f"link add {link} type veth peer name eth0 address {machine.mac} netns {machine.id}\n"
        f"link set {link} master {network.bridge} up\n"
    )
    inner = (
        "link set lo up\n"
        f"addr add {network.interface(machine.address)} dev eth0\n"
        "link set eth0 up\n"
        f"route add default via {network.gateway}\n"
    )
    await run(["ip", "-batch", "-"], stdin=outer)
    await run(["ip", "-n", machine.id, "-batch", "-"], stdin=inner)


async def _start_keeper(machine: Machine, lock: int) -> None:
    """It forks at once, so that nobody has to wait for the one that stays."""
    with machine.console.open("wb") as console:
        machine.console.chmod(0o600)
        process = await asyncio.create_subprocess_exec(
            *launch.keeper_argv(machine, lock),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=(lock,),
            env=launch.keeper_env(),
            cwd="/",
        )
    if await process.wait() != 0:
        raise _did_not_boot(machine, "its keeper did not start")


async def _lock_unless_up(machine: Machine) -> int | None:
    """The lock, or None when the host is up. Waits for one that reboots, powers off or starts."""
    ends = time.monotonic() + DOWN_WITHIN_S
    while True:
        lock = running.try_lock(machine.folder)
        if lock is not None:
            return lock
        now = running.read(machine)
        if now and now.is_whole:
            return None
        if time.monotonic() > ends:
            raise _busy(machine)
        await asyncio.sleep(PAUSE_S)


async def _lock_after_end(machine: Machine) -> int:
    """Ask the keeper to power the host off, and wait until it has."""
    ends = time.monotonic() + DOWN_WITHIN_S
    asked = 0
    while True:
        lock = running.try_lock(machine.folder)
        if lock is not None:
            return lock
        now = running.read(machine)
        late = time.monotonic() > ends
        if now and now.has_keeper and (late or asked != now.keeper):
            asked = now.keeper
            with contextlib.suppress(ProcessLookupError):
                os.kill(now.keeper, signal.SIGKILL if late else signal.SIGTERM)
        elif late:
            raise _busy(machine)
        await asyncio.sleep(PAUSE_S)


async def _await_init(machine: Machine) -> None:
    """Until the host's own PID 1 is there, not only nspawn."""
    ends = time.monotonic() + UP_WITHIN_S
    while True:
        now = running.read(machine)
        if now and now.is_whole and _has_init(machine):
            return
        if now and now.ended is not None:
            raise _did_not_boot(machine, f"systemd-nspawn ended with {now.ended}")
        if time.monotonic() > ends:
            raise _did_not_boot(machine, f"no PID 1 that listens after {UP_WITHIN_S:.0f} s")
        await asyncio.sleep(PAUSE_S)


def _has_init(machine: Machine) -> bool:
    group = next(iter(cgroups.named(machine.id)), None)
    return group is not None and any(_is_init(pid) for pid in sweep.processes(str(group)))


def _is_init(pid: int) -> bool:
    """The host's PID 1, once it listens for a poweroff: before that it would ignore it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False  # it has just ended
    fields = dict(line.split(":", 1) for line in status.splitlines())
    listens = int(fields["SigBlk"], 16) >> (POWEROFF - 1) & 1  # systemd reads it from a signalfd
    return fields["NSpid"].split()[-1] == "1" and bool(listens)


def _kill_nspawn(machine: Machine) -> None:
    """Also one that was killed before it entered its cgroups."""
    wanted = f"--machine={machine.id}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _remove_traces(machine: Machine) -> None:
    """Files that nspawn leaves in /run when it is killed, and the keeper's notes."""
    for name in ("propagate", "unix-export"):
        shutil.rmtree(RUN_NSPAWN / name / machine.id, ignore_errors=True)
    locks = RUN_NSPAWN / "locks"
    (locks / f"name-{machine.id}").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        root = machine.root.stat()
        (locks / f"inode-{root.st_dev}:{root.st_ino}").unlink(missing_ok=True)
    (machine.folder / f".#{machine.root.name}.lck").unlink(missing_ok=True)
    machine.running.unlink(missing_ok=True)
    machine.orders.unlink(missing_ok=True)


def _did_not_boot(machine: Machine, why: str) -> DiscoError:
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = machine.console.read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
    return DiscoError(
        f"the local host {machine.name} did not boot",
        where=machine.name,
        why="\n".join([why, *lines]),
        fix=f"read {machine.console}; run again to boot it again",
    )


def _busy(machine: Machine) -> DiscoError:
    return DiscoError(
        f"the local host {machine.name} is held by somebody else",
        where=machine.name,
        why=f"{machine.folder / 'keeper.lock'} stayed locked for {DOWN_WITHIN_S:.0f} s",
        fix="see who does (`fuser` on that file), then run again",
    )
