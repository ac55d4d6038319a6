"""What pods of a component may do in the vault, as its part of a stack file says it.

A component with such a part says so by `vault_client`, a classmethod as `wants` is: DISCO makes a
policy with just that, and a role that only the component's own service account gets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import pydantic

from disco.engine.errors import WrongUse
from disco.layers.platform import vault_keys, vault_pki
from disco.layers.platform.vault_pki import Issues
from disco.layers.platform.vault_roles import PREFIX, Role
from disco.stack.model import Model, var

STORE, OWN = "kv/", "kv/disco"
WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
SECRET = rf"^kv(/{WORD})+$"
SECRETS = rf"^kv(/{WORD})+(/\*)?$"
FIELD = rf"^kv(/{WORD})+#{WORD}$"
KEY = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
HOST = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$"
TLS = "tls.pem"  # the file that a certificate is delivered in
MOST = 32


def _not_ours(path: str) -> str:
    if path.partition("#")[0] == OWN or path.startswith(f"{OWN}/"):
        raise ValueError(f"{OWN} is DISCO's own; choose another name below {STORE}")
    return path


NotOurs = pydantic.AfterValidator(_not_ours)
Secrets = Annotated[str, pydantic.Field(pattern=SECRETS, max_length=200), NotOurs]
Host = Annotated[str, pydantic.Field(pattern=HOST, max_length=200)]
Key = Annotated[str, pydantic.Field(pattern=KEY)]
Field = Annotated[str, pydantic.Field(pattern=FIELD, max_length=250), NotOurs]


class VaultNeeds(Model):
    """What its pods may do in the vault, and nothing else."""

    read: tuple[Secrets, ...] = var((), max_length=MOST)
    """Secrets that they may read: `kv/akash/faucet`, or `kv/akash/*` for all below it."""
    write: tuple[Secrets, ...] = var((), max_length=MOST)
    """Secrets that they may write, said in the same way."""
    sign: tuple[Key, ...] = var((), max_length=MOST)
    """Keys that they may sign with, by names of your own: made in the vault (ed25519), and never
    out of it. A key that is named no more stays there."""


class VaultCertificate(Model):
    """A certificate for servers and clients, made anew long before it ends."""

    names: tuple[Host, ...] = var(min_length=1, max_length=16)
    """Names that it is for, of Services in the component's own namespace: `rpc.akash.svc`."""
    lasts: str = var("24h", pattern=r"^[1-9]\d*(m|h)$", unit="duration")
    """For how long each one is signed, at most 2160h."""


class VaultDelivery(VaultNeeds):
    """What its pods may do in the vault, and which secrets come to them as files."""

    files: dict[str, Field] = var({}, max_length=MOST)
    """Files that each pod has in `/vault`: the name, and the field of a secret as
    `kv/akash/faucet#key`; they may be read without being named in `read`."""
    certificate: VaultCertificate | None = None
    """What each pod gets as `/vault/tls.pem`: a key, its certificate, and who signed it."""
    refresh: str = var("30s", pattern=r"^[1-9]\d*(s|m|h)$", unit="duration")
    """After what time a changed secret is in the file at the latest."""
    wait: bool = True
    """Whether a pod starts only when it has its files."""

    @property
    def delivers(self) -> bool:
        """Whether pods get anything."""
        return bool(self.files or self.certificate)

    @pydantic.field_validator("files")
    @classmethod
    def _named(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if name == TLS:
                raise ValueError(f"{TLS} is the name of the certificate's file")
            if not re.fullmatch(WORD, name):
                raise ValueError(f"a file's name is letters, digits, - . _: {name!r}")
        return files


class VaultClient(Model):
    """A component with what it declares. account: of its pods, in their namespace."""

    component: str
    namespace: str
    account: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    sign: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def issues(self) -> Issues:
        """What it gets certificates for, where it has names."""
        return Issues(role_of(self.component), self.names)

    @property
    def role(self) -> Role:
        return Role(role_of(self.component), self.namespace, self.account, self._rules())

    def _rules(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The vault takes the rule that fits a path best, alone: it has to say all."""
        found = {}
        for path in sorted({*self.read, *self.write}):
            may = {"read"} if _covers(self.read, path) else set()
            may |= {"create", "update"} if _covers(self.write, path) else set()
            found[f"{STORE}data/{path.removeprefix(STORE)}"] = tuple(sorted(may))
        for key in self.sign:
            found |= vault_keys.rules(key)
        if self.names:
            found |= vault_pki.rules(role_of(self.component))
        return tuple(found.items())


def client(component: str, namespace: str, account: str, needs: VaultNeeds) -> VaultClient | None:
    """None for one that declares nothing. component: as `prometheus` or `chains.akash`. Raises
    WrongUse for a certificate with names of others."""
    files = needs.files.values() if isinstance(needs, VaultDelivery) else ()
    read = tuple(dict.fromkeys((*needs.read, *(f.partition("#")[0] for f in files))))
    names = _names(component, namespace, needs)
    if not (read or needs.write or needs.sign or names):
        return None
    return VaultClient(
        component=component,
        namespace=namespace,
        account=account,
        read=read,
        write=needs.write,
        sign=needs.sign,
        names=names,
    )


def _names(component: str, namespace: str, needs: VaultNeeds) -> tuple[str, ...]:
    wanted = needs.certificate if isinstance(needs, VaultDelivery) else None
    names = wanted.names if wanted else ()
    ends = (f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    if strange := [n for n in names if not n.endswith(ends)]:
        raise WrongUse(
            f"{strange[0]} is no name of a Service of {component}",
            where=f"{component}.vault.certificate.names",
            why="certificates are for names in a component's own namespace",
            fix=f"end it with {ends[0]}",
        )
    return names


def role_of(component: str) -> str:
    """The name of its role, and of its policy."""
    return f"{PREFIX}{component.replace('.', '-')}"


def _covers(patterns: Iterable[str], path: str) -> bool:
    return any(p == path or (p.endswith("*") and path.startswith(p[:-1])) for p in patterns)


def refuse_wrong_paths(paths: Iterable[str]) -> None:
    """Raises ValueError for what is no secret's path, or DISCO's own."""
    for path in paths:
        if not re.fullmatch(SECRET, path):
            raise ValueError(f"a secret's path is like kv/akash/faucet: {path!r}")
        _not_ours(path)
