"""`disco shell` and `disco exec`: a terminal or one command on a host or in a pod."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from disco.cli.foreground import attended
from disco.cli.kubeconfig import run_kubectl
from disco.cli.target import Target, must_have_cluster, one_pod, target
from disco.cli.wiring import Session, open_stack
from disco.engine.errors import DiscoError, WrongUse
from disco.engine.secret import SecretRef
from disco.hosts.host import Host
from disco.kube.access import PrivateFolder

SSH_OPTIONS = (
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PasswordAuthentication=no",
    "ConnectTimeout=8",
    "ServerAliveInterval=15",
    "LogLevel=ERROR",
)


async def shell(file: Path, name: str) -> int:
    """An interactive shell. Returns its exit code."""
    async with open_stack(file) as session:
        wanted = await target(session, name)
        if wanted.hosts:
            # Without a terminal a login shell would greet with the message of the day.
            piped = () if sys.stdin.isatty() else ("sh",)
            return await _ssh(session, _host(wanted), piped)
        return await _in_pod(session, wanted, ["sh"], interactive=True)


async def execute(file: Path, name: str, command: Sequence[str]) -> int:
    """One command. Returns its exit code."""
    if not command:
        raise WrongUse("no command is named", fix=f"disco exec {name} -- COMMAND…")
    async with open_stack(file) as session:
        wanted = await target(session, name)
        if wanted.hosts:
            return await _ssh(session, _host(wanted), command)
        return await _in_pod(session, wanted, command, interactive=False)


def _host(wanted: Target) -> Host:
    if wanted.unit and not wanted.pods:
        raise WrongUse(f"{wanted.name} is a unit", fix=f"name its host: {wanted.hosts[0].name}")
    return wanted.hosts[0]


async def _in_pod(
    session: Session, wanted: Target, command: Sequence[str], interactive: bool
) -> int:
    cluster = must_have_cluster(wanted.cluster)
    namespace, pod, container = await one_pod(session, wanted)
    terminal = interactive and sys.stdin.isatty()
    flags = ["-it"] if terminal else [] if sys.stdin.isatty() else ["-i"]
    environ = [f"{k}={v}" for k, v in wanted.environ.items()]
    inside = ["env", *environ, *command] if environ else list(command)
    where = ["-n", namespace, pod, "-c", container]
    return await run_kubectl(session, cluster, ["exec", *flags, *where, "--", *inside])


async def _ssh(session: Session, host: Host, command: Sequence[str]) -> int:
    """The openssh client, with what DISCO pins and keeps in files that are gone afterwards."""
    program = shutil.which("ssh")
    if program is None:
        raise DiscoError("the program ssh is missing here", fix="apt-get install openssh-client")
    folder = PrivateFolder()
    try:
        line = ["ssh", *_options(session, host, folder), f"{host.user}@{host.address}"]
        if command:
            sudo = ["sudo", "-n", "--"] if host.sudo else []
            line += ["--", shlex.join([*sudo, *command])]
        return await attended(program, line)
    finally:
        folder.close()


def _options(session: Session, host: Host, folder: PrivateFolder) -> list[str]:
    pinned = host.host_key
    known = session.lookup(pinned) if isinstance(pinned, SecretRef) else pinned
    if not known:
        raise DiscoError("no host key is pinned", where=host.name, fix="add `host_key:` for it")
    address = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    kind, blob = known.split()[:2]
    hosts = folder.write("known_hosts", f"{address} {kind} {blob}\n")
    key: str | Path = str(Path(str(host.key)).expanduser())
    if isinstance(host.key, SecretRef):
        key = folder.write("key", session.lookup(host.key))
    options = [*SSH_OPTIONS, f"UserKnownHostsFile={hosts}"]
    words = [word for option in options for word in ("-o", option)]
    return ["-F", "/dev/null", *words, "-i", str(key), "-p", str(host.port)]
