"""Whether a process that was noted down is still that process. Stands alone: the keeper uses it."""

# ruff: noqa: PTH123
# pathlib is one of the imports that would make every keeper larger.

from __future__ import annotations


def machine_boot() -> str:
    """Another value after each boot of this machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def started(pid: int) -> str:
    """When it started, in clock ticks since the boot; empty for one that has ended.

    A pid alone says little: numbers are given out again.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The name in parentheses may hold anything; after it come state (field 3) and so on.
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_alive(pid: int, start: str) -> bool:
    return pid > 0 and start != "" and started(pid) == start
