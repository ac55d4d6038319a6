"""A real sshd on loopback, as whoever runs the tests, with its own keys: no root is needed."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from disco.hosts.host import Host

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or ""


class PlainHost(Host):
    """Whoever runs the tests logs in, and needs no sudo for what they do."""

    @property
    def sudo(self) -> bool:
        return False


@dataclass(frozen=True)
class Server:
    host: Host
    process: subprocess.Popen[bytes]
    key: Path


@contextmanager
def sshd(folder: Path, name: str = "h1", settings: str = "") -> Iterator[Server]:
    """Start sshd and wait until its port answers. settings: more lines of its configuration."""
    key, host_key = folder / "login", folder / "host"
    for path in (key, host_key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    allowed = folder / "allowed"
    allowed.write_text(key.with_suffix(".pub").read_text())
    port = free_port()
    config = folder / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {allowed}\nPidFile {folder / 'pid'}\nMaxStartups 200\n"
        # Else bash reads the settings of whoever runs the tests, at every command.
        f"SetEnv HOME={folder}\n{settings}"
    )
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
    )
    try:
        _await_port(port)
        public = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
        host = PlainHost(name, "127.0.0.1", port, getpass.getuser(), str(key), public)
        yield Server(host, process, key)
    finally:
        process.terminate()
        process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _await_port(port: int) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < ends, "sshd does not answer"
            time.sleep(0.02)
