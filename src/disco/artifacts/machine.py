"""What kind of machine things are built for: this one."""

from __future__ import annotations

import platform

from disco.engine.errors import WrongUse

ARCHS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


def this_arch() -> str:
    """`amd64` or `arm64`, as Go, Debian and OCI call this machine's processor."""
    machine = platform.machine().lower()
    if machine not in ARCHS:
        raise WrongUse(
            f"processors of the kind {machine} are not supported",
            fix="use a machine with an x86_64 or aarch64 processor",
        )
    return ARCHS[machine]
