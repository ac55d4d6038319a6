"""A host's root file system: copied, made its own, and only then given its name."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import uuid
from pathlib import Path

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.place import write_atomically
from disco.engine.secret import Lookup
from disco.nspawn.actions import MakeHost
from disco.nspawn.machine import Machine
from disco.nspawn.outside import run

COPY_WITHIN_S = 600.0
HALF = ".root."  # how unfinished and half-deleted copies begin
PAUSE_S = 0.1
REMOVALS = 50


async def make(action: MakeHost, lookup: Lookup, report: Report) -> None:
    """Nothing to do for a host that was made before, whatever happened to it since."""
    machine = action.machine
    if machine.root.is_dir():
        return
    _check_base(Path(action.base))
    machine.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    await remove_halves(machine)
    copy = machine.folder / f"{HALF}{secrets.token_hex(4)}"
    report(f"copying {machine.name}'s file system", None)
    # A copy that lost its master ends too, and never writes below the feet of the next one.
    await run(
        ["setpriv", "--pdeathsig", "KILL", "cp", "-a", "--reflink=auto", action.base, str(copy)],
        within_s=COPY_WITHIN_S,
    )
    _make_its_own(copy, action, lookup)
    note = {"address": machine.address, "base": action.base}
    write_atomically(machine.folder / "host.json", json.dumps(note).encode())
    copy.rename(machine.root)


async def remove(machine: Machine) -> None:
    """All of a host that was stopped before."""
    if machine.root.is_dir():
        machine.root.rename(machine.folder / f"{HALF}{secrets.token_hex(4)}")
    await remove_tree(machine.folder)


def halves(machine: Machine) -> list[Path]:
    return sorted(machine.folder.glob(f"{HALF}*"))


async def remove_halves(machine: Machine) -> None:
    for half in halves(machine):
        await remove_tree(half)


async def remove_tree(path: Path) -> None:
    """Again while somebody still writes in it: a copy that is about to end."""
    for _ in range(REMOVALS):
        try:
            await run(["rm", "-rf", "--one-file-system", "--", str(path)], within_s=COPY_WITHIN_S)
            return
        except DiscoError as error:
            if "not empty" not in error.why:
                raise
        await asyncio.sleep(PAUSE_S)
    raise DiscoError(f"{path} does not get empty", fix="see who writes there, then run again")


def _check_base(base: Path) -> None:
    if not any((base / init).exists() for init in ("sbin/init", "usr/lib/systemd/systemd")):
        raise DiscoError(
            f"there is no base file system for local hosts at {base}",
            fix="run again: it is made first",
        )


def _make_its_own(root: Path, action: MakeHost, lookup: Lookup) -> None:
    machine = action.machine
    public = lookup(action.public).strip()
    key = f"etc/ssh/ssh_host_{_key_type(public)}_key"
    authorized = "".join(f"{lookup(ref).strip()}\n" for ref in action.authorized)
    _write(root, "etc/hostname", f"{machine.name}\n")
    _write(root, "etc/hosts", f"127.0.0.1 localhost\n{machine.address} {machine.name}\n")
    # Nobody answers there; but a cluster's DNS server refuses to start without any line.
    _write(root, "etc/resolv.conf", f"nameserver {machine.network.gateway}\n")
    _write(root, "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    _write(root, key, lookup(action.private).rstrip("\n") + "\n", 0o600)
    _write(root, f"{key}.pub", f"{public}\n")
    (root / "root/.ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(root, "root/.ssh/authorized_keys", authorized, 0o600)


def _key_type(public: str) -> str:
    """`ssh-ed25519 AAAA…` is ed25519, `ecdsa-sha2-nistp256 AAAA…` is ecdsa."""
    kind = public.split(" ", 1)[0]
    return "ecdsa" if kind.startswith("ecdsa-") else kind.removeprefix("ssh-")


def _write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """A new file, never through a link: an absolute one would lead out of the host."""
    path = root / name
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchmod(handle, mode)
