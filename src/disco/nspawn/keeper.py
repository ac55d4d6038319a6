"""Holds one host: `python -m disco.nspawn.keeper ORDERS LOCK-FD NAME`.

nspawn ends when its host reboots; the keeper starts it again in the same network namespace. It
outlives the command that started it, so it imports next to nothing. It keeps the lock it was
given for as long as it lives: whoever can take the lock knows that no keeper is there.
"""

# ruff: noqa: PTH103, PTH105, PTH123
# pathlib is one of the imports that would make every keeper larger.

from __future__ import annotations

import json
import os
import signal
import sys
import time

from disco.nspawn import process, sweep

TYPE_CHECKING = False  # as type checkers know it, without loading `typing` into every keeper
if TYPE_CHECKING:
    from typing import Any

REBOOT = 133  # how nspawn ends when its host reboots and nobody outside keeps the unit
WATCHED = (signal.SIGTERM, signal.SIGCHLD)
IDLE_S = 86400.0


def main() -> int:
    path, lock = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(lock, False)
    if os.fork():
        os._exit(0)  # who started it does not have to be there to collect it
    os.setsid()
    with open(path) as file:
        orders = json.load(file)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    return keep(orders)


def keep(orders: dict[str, Any]) -> int:
    """Boot the host, as often as it reboots; returns how nspawn ended."""
    tops = [top for top, _ in orders["groups"]]
    notes: dict[str, Any] = {
        "machine_boot": process.machine_boot(),
        "keeper": os.getpid(),
        "keeper_started": process.started(os.getpid()),
        "boot": 0,
    }
    while True:
        pid = start(orders)
        notes["boot"] += 1
        notes |= {"nspawn": pid, "nspawn_started": process.started(pid)}
        tell(orders["running"], notes)
        code, asked = watch(pid, orders, notes)
        # A kubelet that finds the pod groups of the boot before never gets its node ready.
        stuck = sweep.empty(tops)
        if stuck:
            sys.stderr.write(f"keeper: these do not end: {sorted(stuck)}\n")
        if code != REBOOT or asked or signal.SIGTERM in signal.sigpending():
            sweep.remove(tops)
            tell(orders["running"], notes | {"ended": code})
            return 0


def start(orders: dict[str, Any]) -> int:
    """Start nspawn inside of the host's cgroups."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for _, group in orders["groups"]:
            os.makedirs(group, exist_ok=True)
            with open(f"{group}/cgroup.procs", "w") as file:
                file.write("0")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        os.execve(orders["argv"][0], orders["argv"], orders["env"])
    except OSError as error:
        os.write(2, f"keeper: can't start {orders['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def watch(pid: int, orders: dict[str, Any], notes: dict[str, Any]) -> tuple[int, bool]:
    """Wait for nspawn's end. SIGTERM asks the host to power off, for as long as the grace lasts.

    Returns nspawn's exit code (negative: the signal that ended it) and whether it was asked to.
    """
    killed_at = 0.0
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), killed_at > 0
        if killed_at and time.monotonic() > killed_at:
            os.kill(pid, signal.SIGKILL)
        pause_s = max(0.1, killed_at - time.monotonic()) if killed_at else IDLE_S
        got = signal.sigtimedwait(WATCHED, pause_s)
        if got is not None and got.si_signo == signal.SIGTERM and not killed_at:
            killed_at = time.monotonic() + orders["grace_s"]
            tell(orders["running"], notes | {"stopping": True})
            os.kill(pid, signal.SIGTERM)  # nspawn passes it on as an orderly poweroff


def tell(path: str, notes: dict[str, Any]) -> None:
    """Whole or not at all: others read it at any time."""
    temporary = f"{path}.new"
    with open(temporary, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        json.dump(notes, file)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
