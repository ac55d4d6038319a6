"""The handful of things done on a host. Each knows how to be recognised as already done.

A `probe` is a line of POSIX shell that ends with 0 when the action would change nothing; many
probes are asked in one round trip.
"""

from __future__ import annotations

import hashlib
import shlex
from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import ClassVar

from disco.engine.action import Action, secrets_in
from disco.engine.secret import Lookup, Text
from disco.hosts.host import Host

# A containerd of our own, beside whatever a host has: another socket, another state.
CONTAINERD_SOCKET = "/run/disco/containerd/containerd.sock"
CTR = ("/opt/disco/bin/ctr", "--address", CONTAINERD_SOCKET, "-n", "k8s.io")


@dataclass(frozen=True)
class HostAction(Action):
    host: Host

    @property
    def uses(self) -> frozenset[str]:
        """Without the key that logs in: that goes nowhere."""
        return secrets_in([getattr(self, f.name) for f in fields(self) if f.name != "host"])

    @abstractmethod
    def probe(self, lookup: Lookup) -> str:
        """Shell that ends with 0 when this is already so; empty when it must always be done."""


@dataclass(frozen=True)
class Put(HostAction):
    """A file with this content and mode, replaced as a whole."""

    kind: ClassVar[str] = "put"
    path: str
    content: Text
    mode: int = 0o644

    @property
    def touches(self) -> str:
        return f"{self.host.name}:{self.path}"

    def describe(self) -> str:
        return f"write {self.path} on {self.host.name}"

    def command(self) -> str:
        return (
            f"{self.host.ssh()} 'cat > {self.path} && chmod {self.mode:o} {self.path}' <<'EOF'\n"
            f"{self.content}\nEOF"
        )

    def probe(self, lookup: Lookup) -> str:
        digest = hashlib.sha256(self.content.reveal(lookup).encode()).hexdigest()
        return _is_file(self.path, digest, self.mode)


def _is_file(path: str, sha256: str, mode: int) -> str:
    """Shell that ends with 0 when a file has this content and mode."""
    path = shlex.quote(path)
    return (
        f'[ "$(stat -c %a {path} 2>/dev/null)" = {mode:o} ] && '
        f'[ "$(sha256sum < {path})" = "{sha256}  -" ]'
    )


@dataclass(frozen=True)
class Program(HostAction):
    """A program under a path that holds its digest, and the names that lead to it.

    artifact: its name in the catalogue; sha256: of the file, in hex.
    """

    kind: ClassVar[str] = "program"
    artifact: str
    sha256: str
    names: tuple[str, ...]

    @property
    def target(self) -> str:
        return f"/opt/disco/{self.artifact}/{self.sha256[:16]}/{self.artifact}"

    @property
    def touches(self) -> str:
        return f"{self.host.name}:{self.names[0]}"

    def describe(self) -> str:
        return f"put {self.artifact} on {self.host.name}"

    def command(self) -> str:
        links = "; ".join(f"ln -sfn {self.target} {n}" for n in self.names)
        return (
            f"scp {self.artifact} {self.host.user}@{self.host.address}:{self.target}; "
            f"{self.host.ssh(shlex.quote(links))}"
        )

    def probe(self, lookup: Lookup) -> str:
        target = shlex.quote(self.target)
        links = " && ".join(f'[ "$(readlink {shlex.quote(n)})" = {target} ]' for n in self.names)
        return f"[ -x {target} ] && {links}"

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.target).parent)


@dataclass(frozen=True)
class Images(HostAction):
    """Images in the node's containerd, by name and manifest digest (`sha256:…`)."""

    kind: ClassVar[str] = "images"
    artifact: str
    images: tuple[tuple[str, str], ...]

    @property
    def touches(self) -> str:
        return f"{self.host.name}:images/{self.artifact}"

    def describe(self) -> str:
        return f"import {len(self.images)} images of {self.artifact} on {self.host.name}"

    def command(self) -> str:
        return f"{self.host.ssh(shlex.join((*CTR, 'images', 'import', '-')))} < {self.artifact}.tar"

    def probe(self, lookup: Lookup) -> str:
        tests = [
            f'case "$images" in *"{name} "*"{digest} "*) ;; *) false ;; esac'
            for name, digest in self.images
        ]
        return (
            '{ [ -n "${images-}" ] || images=$(timeout 10 '
            f"{shlex.join(CTR)} images ls 2>/dev/null "
            "| awk '{print $1, $3, \"\"}'); } && " + " && ".join(tests)
        )


@dataclass(frozen=True)
class Reads:
    """A file that a unit reads: its path, the SHA-256 (hex) of its content, its mode.

    secret: instead of the figure, the content of a file that holds secrets.
    """

    path: str
    sha256: str
    mode: int = 0o644
    secret: Text | None = None

    def digest(self, lookup: Lookup) -> str:
        """SHA-256 (hex) of what it holds, with the values of secrets in it."""
        if self.secret is None:
            return self.sha256
        return hashlib.sha256(self.secret.reveal(lookup).encode()).hexdigest()

    def probe(self, stamp: str, lookup: Lookup) -> str:
        """As declared, and not written since the stamp was."""
        older = f"[ ! {shlex.quote(self.path)} -nt {stamp} ]"
        return f"{_is_file(self.path, self.digest(lookup), self.mode)} && {older}"


@dataclass(frozen=True)
class Unit(HostAction):
    """A systemd unit enabled, running, and started since its configuration was last changed.

    config: a digest of what the unit reads. It is kept on the host after the (re)start, so a run
            that was killed between the change and the restart is noticed.
    reads:  files of it that were put there. One that somebody changed and one that was put back
            since the start, by a run that was killed then, ask for another start.
    lent:   somebody else enables and starts it; it is only restarted where it runs.
    """

    kind: ClassVar[str] = "unit"
    unit: str
    config: str = ""
    reads: tuple[Reads, ...] = ()
    lent: bool = False

    @property
    def stamp(self) -> str:
        return f"/var/lib/disco/units/{self.unit}"

    @property
    def touches(self) -> str:
        return f"{self.host.name}:unit/{self.unit}"

    def describe(self) -> str:
        if self.lent:
            return f"restart {self.unit} on {self.host.name}, where it runs, with its new file"
        return f"start {self.unit} on {self.host.name} with its new configuration"

    @property
    def commands(self) -> tuple[str, ...]:
        unit = shlex.quote(self.unit)
        if self.lent:
            return ("systemctl daemon-reload", f"systemctl try-restart {unit}")
        enable, restart = f"systemctl -q enable {unit}", f"systemctl restart {unit}"
        return ("systemctl daemon-reload", enable, restart)

    def command(self) -> str:
        return self.host.ssh(f"'{'; '.join(self.commands)}'")

    def probe(self, lookup: Lookup) -> str:
        unit, stamp = shlex.quote(self.unit), shlex.quote(self.stamp)
        runs = f"systemctl -q is-enabled {unit} && systemctl -q is-active {unit} && "
        return " && ".join(
            (
                f'{"" if self.lent else runs}[ "$(cat {stamp})" = "{self.config}" ]',
                *(file.probe(stamp, lookup) for file in self.reads),
            )
        )


@dataclass(frozen=True)
class Run(HostAction):
    """A program run as root. `done` is shell that ends with 0 when it needs no run."""

    kind: ClassVar[str] = "run"
    argv: tuple[str, ...]
    name: str
    done: str = ""
    stdin: Text | None = None
    within_s: float = 120.0
    loses: tuple[str, ...] = ()

    @property
    def touches(self) -> str:
        return f"{self.host.name}:{self.name}"

    def describe(self) -> str:
        return f"run `{shlex.join(self.argv)[:60]}` on {self.host.name}"

    def command(self) -> str:
        line = self.host.ssh(shlex.quote(shlex.join(self.argv)))
        return line if self.stdin is None else f"{line} <<'EOF'\n{self.stdin}\nEOF"

    @property
    def destroys(self) -> tuple[str, ...]:
        return self.loses

    def probe(self, lookup: Lookup) -> str:
        return self.done


@dataclass(frozen=True)
class Packages(HostAction):
    """Debian packages that are installed."""

    kind: ClassVar[str] = "packages"
    names: tuple[str, ...]

    @property
    def touches(self) -> str:
        return f"{self.host.name}:packages"

    def describe(self) -> str:
        return f"install {', '.join(self.names)} on {self.host.name}"

    def command(self) -> str:
        return self.host.ssh(
            f"'apt-get update && apt-get install -y --no-install-recommends {' '.join(self.names)}'"
        )

    def probe(self, lookup: Lookup) -> str:
        names = " ".join(map(shlex.quote, self.names))
        return (
            f"[ \"$(dpkg-query -W -f '${{db:Status-Status}}\\n' {names} 2>/dev/null "
            f'| grep -cx installed)" = {len(self.names)} ]'
        )


@dataclass(frozen=True)
class AwaitHost(HostAction):
    """Until a command ends with 0 on the host, at most `within_s` seconds."""

    kind: ClassVar[str] = "await-host"
    waits: ClassVar[bool] = True
    what: str
    test: str
    within_s: float = 60.0

    @property
    def touches(self) -> str:
        return f"{self.host.name}:await/{self.what}"

    def describe(self) -> str:
        return f"wait until {self.what} on {self.host.name}, at most {self.within_s:.0f} s"

    def command(self) -> str:
        return f"until {self.host.ssh(shlex.quote(self.test))}; do sleep 1; done"

    def probe(self, lookup: Lookup) -> str:
        return self.test
