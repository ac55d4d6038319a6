"""The base file system: Debian by debootstrap, trimmed, and without what differs between two runs.

Every local server is a copy of it, and images take their system programs from it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from disco.artifacts.apt import AptSource, choose_mirror, proxy_environment, read_sources
from disco.artifacts.cache import Meta, content_key, disk_full
from disco.artifacts.catalogue import ROOTFS, RootFs, entry_data
from disco.artifacts.process import Ended, output, run
from disco.artifacts.tree import size_bytes, tree_digest, walk
from disco.engine.errors import DiscoError, Retry

Report = Callable[[str, float | None], None]

FILES = {
    # A reboot waits this long (90 s else) for what the pods left behind.
    "etc/systemd/system.conf.d/stop.conf": "[Manager]\nDefaultTimeoutStopSec=8s\n",
    # The kubelet wants writable cgroups and shared mounts; nspawn gives the v1 hierarchies
    # read-only. With cgroup v2 the folders below are no mounts and are left alone.
    "etc/systemd/system/rwmounts.service": """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount --make-rshared /; \
for m in /sys/fs/cgroup /sys/fs/cgroup/*/; do \
if mountpoint -q "$m"; then mount -o remount,rw,bind "$m" || true; fi; done'
[Install]
WantedBy=sysinit.target
""",
    # Each host gets its own at its first boot.
    "etc/machine-id": "",
}
LINKS = {
    # Debian puts the CNI plugins in /usr/lib/cni; the runtime's default is /opt/cni/bin.
    "opt/cni/bin": "/usr/lib/cni",
    # kube-proxy, flannel and the kubelet must write the same kind of tables.
    "etc/alternatives/iptables": "/usr/sbin/iptables-nft",
    "etc/alternatives/ip6tables": "/usr/sbin/ip6tables-nft",
    "etc/systemd/system/sysinit.target.wants/rwmounts.service": (
        "/etc/systemd/system/rwmounts.service"
    ),
}
EMPTIED = (
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "var/cache/ldconfig",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "tmp",
    "run",
)
LOGS = "var/log"  # its folders stay: with /var/log/journal the journal outlives a reboot
REMOVED = (
    "etc/ssh/ssh_host_*",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/*-",
    "etc/.pwd.lock",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
)
KEPT_FOLDERS = ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial")
PASSWORD_AGE_DAY = "1"  # of shadow, else the day of the build; 0 would ask for a new password
USUAL_LINES = 780  # of debootstrap, for the progress only


def rootfs_key(spec: RootFs) -> str:
    """Digest of all that we decide; which package versions it got is in meta.json."""
    ours = entry_data(spec, {"seconds", "bytes", "licence"})
    return content_key([ours, FILES, LINKS, EMPTIED, REMOVED, PASSWORD_AGE_DAY])


def debootstrap_command(spec: RootFs, root: str, mirror: str, keyring: str = "") -> list[str]:
    """The command that makes the unpolished file system, signature of the mirror checked."""
    key = [f"--keyring={keyring}"] if keyring else []
    include = f"--include={','.join(spec.packages)}"
    options = ["--variant=minbase", "--merged-usr", "--force-check-gpg", *key, include]
    return ["debootstrap", *options, spec.suite, root, mirror]


async def build_rootfs(spec: RootFs, making: Path, report: Report) -> Meta:
    """Make the file system in `making`/root. Needs root, debootstrap and a mirror."""
    check_machine(_system_path())
    mirror = choose_mirror(read_sources(), spec.suite)
    root = making / "root"
    await _debootstrap(spec, root, mirror, report)
    report("trim and settle", 0.95)
    packages = await _installed(root)
    return await asyncio.to_thread(_finish, spec, root, packages)


async def _debootstrap(spec: RootFs, root: Path, mirror: AptSource, report: Report) -> None:
    command = debootstrap_command(spec, str(root), mirror.uri, mirror.signed_by)
    # A mount namespace of its own: what debootstrap mounts is gone with it, however it ends.
    argv = ["nice", "-n", "10", "unshare", "--mount", "--propagation", "private", *command]
    env = {**os.environ, **await proxy_environment(), "LC_ALL": "C", "PATH": _system_path()}
    lines = 0

    def on_line(line: str) -> None:
        nonlocal lines
        lines += 1
        report(line.removeprefix("I: "), min(0.94, lines / USUAL_LINES))

    ended = await run(argv, env=env, on_line=on_line)
    if not ended.ok:
        raise _failed(root, mirror, ended)


def _failed(root: Path, mirror: AptSource, ended: Ended) -> DiscoError:
    log = root / "debootstrap" / "debootstrap.log"
    last = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
    text = "\n".join((*ended.tail[-5:], *last))
    if "No space left on device" in text:
        return disk_full(root)
    return DiscoError(
        "debootstrap failed",
        where=mirror.uri,
        why=text.strip(),
        fix="check that the mirror can be reached from here, and run again",
        retry=Retry.MAYBE,
    )


def _finish(spec: RootFs, root: Path, packages: dict[str, str]) -> Meta:
    settle(root, spec.masked)
    key = rootfs_key(spec)
    return Meta(
        name=ROOTFS,
        version=spec.version,
        origin="build",
        key=key,
        inputs=content_key([key, packages]),
        toolchain="debootstrap",
        sha256=tree_digest(root),
        size=size_bytes(root),
        mtime_ns=root.stat().st_mtime_ns,
        file="root",
        more={"packages": packages},
    )


def settle(root: Path, masked: tuple[str, ...] = ()) -> None:
    """Lay our files into a fresh file system and take out what differs between two builds."""
    for folder in EMPTIED:
        _empty(root / folder)
    for path in [p for p in walk(root / LOGS) if not p.is_dir()]:
        path.unlink()
    for pattern in REMOVED:
        for path in root.glob(pattern):
            path.unlink()
    for folder in KEPT_FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for cached in [p for p in walk(root / "usr") if p.name == "__pycache__"]:
        shutil.rmtree(cached)
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    links = LINKS | {f"etc/systemd/system/{unit}": "/dev/null" for unit in masked}
    for name, target in links.items():
        _link(root / name, target)
    _settle_passwords(root / "etc" / "shadow")


def _empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _settle_passwords(shadow: Path) -> None:
    if not shadow.exists():
        return
    fixed = re.sub(
        r"^([^:]*:[^:]*):\d+:", rf"\1:{PASSWORD_AGE_DAY}:", shadow.read_text(), flags=re.MULTILINE
    )
    shadow.write_text(fixed)


async def _installed(root: Path) -> dict[str, str]:
    """Versions of all Debian packages in the file system, by name."""
    admin = root / "var" / "lib" / "dpkg"
    query = ["dpkg-query", f"--admindir={admin}", "-W", "-f", "${Package} ${Version}\n"]
    code, out, err = await output(query)
    if code != 0:
        raise DiscoError("the packages of the new file system can't be listed", why=err.strip())
    return dict(line.split(" ", 1) for line in out.splitlines())


def check_machine(path: str) -> None:
    """Raise DiscoError when a program of the search path or the right to use it is missing."""
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux")):
        if shutil.which(program, path=path) is None:
            raise DiscoError(
                f"the program {program} is not installed",
                why="local servers start from a Debian file system, which it makes",
                fix=f"run `apt-get install {package}`",
            )
    if os.geteuid() != 0:
        raise DiscoError(
            "making the base file system needs root",
            why="debootstrap sets owners and devices",
            fix="run the same command with sudo",
        )


def _system_path() -> str:
    """PATH with the folders of system programs, which a plain user's PATH may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/bin", "/bin"])
