"""How a host is started: nspawn's arguments and environment, and what its keeper is told.

The arguments are those that work without systemd and machined on this machine, and that let a
host run a kubelet and containers.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import disco
from disco.engine.place import write_atomically
from disco.nspawn.cgroups import Group
from disco.nspawn.machine import Machine

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GRACE_S = 20.0  # an orderly poweroff takes 2 s, with pods up to 10 s
DEVICES = ("/dev/kmsg", "/dev/fuse", "/dev/net/tun")


def nspawn_argv(machine: Machine) -> tuple[str, ...]:
    devices = tuple(f"--bind={path}" for path in DEVICES if Path(path).exists())
    return (
        shutil.which("systemd-nspawn", path=PATH) or "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--machine={machine.id}",
        f"--hostname={machine.name}",
        f"--directory={machine.root}",
        "--register=no",
        "--keep-unit",
        f"--network-namespace-path={machine.netns}",
        "--capability=all",
        "--system-call-filter=@keyring bpf perf_event_open",
        *devices,
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
    )


def nspawn_env(unified: bool) -> dict[str, str]:
    """Nothing of the caller's environment: it may hold secrets."""
    return {
        "PATH": PATH,
        "SYSTEMD_NSPAWN_USE_CGNS": "1",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",  # kubelet and kube-proxy write sysctls
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if unified else "0",
    }


def write_orders(machine: Machine, groups: list[Group], unified: bool) -> None:
    orders: dict[str, Any] = {
        "argv": nspawn_argv(machine),
        "env": nspawn_env(unified),
        "groups": [[str(g.top), str(g.enter)] for g in groups],
        "running": str(machine.running),
        "grace_s": GRACE_S,
    }
    write_atomically(machine.orders, json.dumps(orders, indent=1).encode())


def keeper_argv(machine: Machine, lock: int) -> tuple[str, ...]:
    """-S and -P: it needs the standard library and this package, nothing else."""
    module = "disco.nspawn.keeper"
    return (sys.executable, "-S", "-P", "-m", module, str(machine.orders), str(lock), machine.id)


def keeper_env() -> dict[str, str]:
    package = Path(disco.__file__).parent
    return {"PATH": PATH, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
