"""What all hosts share with this machine, as it was before the first and after the last of them.

The kernel is one: a kubelet or a systemd in a host sets values that are this machine's own.
Several stacks may have hosts at once, so the record is the machine's (in /run, gone with the boot
that it describes), and each stack keeps a copy for the case that /run was emptied.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disco.engine.errors import DiscoError
from disco.engine.place import write_atomically
from disco.nspawn.machine import Network, bridge_of
from disco.nspawn.outside import run
from disco.nspawn.process import machine_boot

FOLDER = Path("/run/disco")
RECORD = FOLDER / "shared.json"
NETNS = Path("/run/netns")
# In the order in which they may come to be.
DIRECTORIES = (
    "/run/systemd",
    "/run/systemd/nspawn",
    "/run/systemd/nspawn/locks",
    "/run/systemd/nspawn/propagate",
    "/run/netns",
)
# Not per namespace. The first six are the kubelet's (its setupKernelTunables), the others are set
# by systemd-sysctl at a host's boot or wanted by what people run in pods.
SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "kernel/pid_max",
    "kernel/threads-max",
    "kernel/core_pattern",
    "kernel/core_uses_pid",
    "kernel/sysrq",
    "kernel/kptr_restrict",
    "kernel/dmesg_restrict",
    "kernel/printk",
    "kernel/randomize_va_space",
    "fs/protected_hardlinks",
    "fs/protected_symlinks",
    "fs/protected_fifos",
    "fs/protected_regular",
    "fs/suid_dumpable",
    "fs/file-max",
    "fs/nr_open",
    "fs/aio-max-nr",
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "fs/inotify/max_queued_events",
    "vm/max_map_count",
    "vm/swappiness",
)
SYS = Path("/proc/sys")
LINKS = Path("/sys/class/net")


def borrow(network: Network) -> None:
    """Note down how this machine is, unless a stack did so before. Repeating it changes nothing."""
    with _alone():
        record = _read(RECORD) or _read(network.record) or _as_it_is()
        record["stacks"] = {**record["stacks"], network.id: network.folder}
        text = json.dumps(record, indent=1).encode()
        write_atomically(network.record, text)
        write_atomically(RECORD, text)


async def give_back(network: Network) -> None:
    """Put everything back as it was, if no other stack has hosts. Repeating it changes nothing."""
    with _alone():
        record = _read(RECORD) or _read(network.record)
        if record is None:
            return
        others = {
            other: folder
            for other, folder in record["stacks"].items()
            if other != network.id and (LINKS / bridge_of(other)).exists()
        }
        if others:
            write_atomically(RECORD, json.dumps(record | {"stacks": others}, indent=1).encode())
            return
        await _restore(record)
        RECORD.unlink(missing_ok=True)
        for unfinished in FOLDER.glob(f".{RECORD.name}.*.tmp"):  # of runs that died as they wrote
            unfinished.unlink(missing_ok=True)
        remove_if_empty(FOLDER)


def holds(stack_id: str) -> bool:
    """Whether a stack has not given back yet what it borrowed."""
    record = _read(RECORD)
    return record is not None and stack_id in record["stacks"]


def _as_it_is() -> dict[str, Any]:
    return {
        "machine_boot": machine_boot(),
        "sysctls": {name: v for name in SYSCTLS if (v := _sysctl(name)) is not None},
        "missing": [path for path in DIRECTORIES if not Path(path).exists()],
        "netns_mounted": _is_mounted(NETNS),
        "stacks": {},
    }


async def _restore(record: dict[str, Any]) -> None:
    refused = []
    for name, value in record["sysctls"].items():
        if _sysctl(name) == value:
            continue
        try:
            (SYS / name).write_text(value)
        except OSError as error:
            refused.append(f"{name.replace('/', '.')} = {value}: {error.strerror}")
    ours = not record["netns_mounted"] and _is_mounted(NETNS)  # `ip netns add` mounts it
    if ours and not any(NETNS.iterdir()):
        await run(["umount", str(NETNS)])
    for path in reversed(record["missing"]):
        remove_if_empty(Path(path))
    if refused:
        raise DiscoError(
            "some kernel settings could not be put back",
            why="; ".join(refused),
            fix="set them by hand with sysctl -w, or restart this machine",
        )


def _sysctl(name: str) -> str | None:
    try:
        return (SYS / name).read_text().strip()
    except OSError:
        return None  # not in this kernel, or not for us


def _read(path: Path) -> dict[str, Any] | None:
    """A record of this boot; one from before a restart describes a kernel that is gone."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record if record.get("machine_boot") == machine_boot() else None


def _is_mounted(path: Path) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split(" ")[4] == str(path) for line in mounts)


def remove_if_empty(path: Path) -> None:
    """Somebody else's files in it are a reason to leave it."""
    with contextlib.suppress(OSError):
        path.rmdir()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time, without a lock file that would be left behind."""
    handle = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
