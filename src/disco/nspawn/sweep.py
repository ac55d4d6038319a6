"""End what lives in cgroups, and remove the groups. Stands alone: the keeper uses it.

After a SIGKILL of nspawn the host's own PID 1 lives on, with all of its processes; their cgroups
are the one thing that still names them.
"""

# ruff: noqa: PTH106, PTH112, PTH123
# pathlib is one of the imports that would make every keeper larger.

from __future__ import annotations

import os
import signal
import time

PAUSE_S = 0.02


def groups(top: str) -> list[str]:
    """The group and all below it, deepest first; empty when there is none."""
    return [folder for folder, _, _ in os.walk(top, topdown=False)]


def processes(top: str) -> set[int]:
    found: set[int] = set()
    for group in groups(top):
        try:
            with open(f"{group}/cgroup.procs") as file:
                found.update(pid for line in file if (pid := int(line)) > 0)
        except OSError:
            continue  # removed meanwhile, or a threaded group, whose parent lists its processes
    return found


def empty(tops: list[str], within_s: float = 15.0) -> set[int]:
    """Kill all processes in the groups and remove what is below them; returns who would not end."""
    ends = time.monotonic() + within_s
    while True:
        left = {pid for top in tops for pid in processes(top)}
        for pid in left:
            _kill(pid)
        below = [g for top in tops for g in groups(top) if g != top]
        for group in below:
            _thaw(group)
            _remove(group)
        if not left and not any(os.path.isdir(g) for g in below):
            return set()
        if time.monotonic() > ends:
            return left or {0}
        time.sleep(PAUSE_S)


def remove(tops: list[str], within_s: float = 15.0) -> set[int]:
    """The same, and the groups themselves."""
    ends = time.monotonic() + within_s
    while True:
        left = empty(tops, max(0.0, ends - time.monotonic()))
        for top in tops:
            _remove(top)
        if not any(os.path.isdir(top) for top in tops):
            return set()
        if time.monotonic() > ends:
            return left or {0}
        time.sleep(PAUSE_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _thaw(group: str) -> None:
    """What is frozen (cgroup v1) does not even die."""
    try:
        with open(f"{group}/freezer.state", "r+") as file:
            if file.read().strip() != "THAWED":
                file.write("THAWED")
    except OSError:
        return


def _remove(group: str) -> None:
    try:
        os.rmdir(group)
    except OSError:
        return  # busy until the last process is reaped: the caller looks again
