"""A Linux machine and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass

from disco.engine.secret import SecretRef


@dataclass(frozen=True, order=True)
class Host:
    """A machine reached over SSH.

    key:      the private key: a secret of the store, or the path of a key file of the person.
    host_key: the pinned public key of the server (`ssh-ed25519 AAAA…`), or the secret that has it
              in its field.
    """

    name: str
    address: str
    port: int = 22
    user: str = "root"
    key: SecretRef | str = ""
    host_key: SecretRef | str = ""
    interface: str = "eth0"

    @property
    def sudo(self) -> bool:
        return self.user != "root"

    def ssh(self, argv: str = "") -> str:
        """The plain command a person would type."""
        port = f" -p {self.port}" if self.port != 22 else ""
        return f"ssh{port} {self.user}@{self.address}{' ' + argv if argv else ''}"
