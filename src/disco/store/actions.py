"""What the store does in a plan: remember something random once, sign a certificate, forget it,
discard a file."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from disco.engine.action import Action, secrets_in
from disco.engine.gate import Report
from disco.engine.secret import SecretRef
from disco.store import certificates
from disco.store.generate import Generator
from disco.store.store import Store


@dataclass(frozen=True)
class Remember(Action):
    """Make a secret, if there is none of that name yet.

    rotates: it is made anew when it is owed, since whatever uses it follows by the same plan.
    """

    kind: ClassVar[str] = "remember"
    secret: str
    generate: Generator
    rotates: bool = False

    @property
    def touches(self) -> str:
        return f"secret {self.secret}"

    def describe(self) -> str:
        return f"make {self.generate.describe()} and remember it as {self.secret}"

    def command(self) -> str:
        return f"disco secrets set {self.secret}  # {self.describe()}"


@dataclass(frozen=True)
class Certify(Action):
    """Make a server's certificate and key, signed by an authority of the store, and again where the
    one that is there ends within `renew_days`, is for other names, of another authority, or owed.

    names: DNS names and IP addresses. Its fields are `crt` and `key`, PEM.
    """

    kind: ClassVar[str] = "certify"
    secret: str
    authority: str
    names: tuple[str, ...]
    days: int = 365
    renew_days: int = 60

    @property
    def touches(self) -> str:
        return f"secret {self.secret}"

    def describe(self) -> str:
        return (
            f"sign a certificate for {self.names[0]} ({self.days} days) with {self.authority}, and "
            f"remember it as {self.secret}"
        )

    def command(self) -> str:
        return f"disco secrets set {self.secret}  # {self.describe()}"


@dataclass(frozen=True)
class Forget(Action):
    """Remove a secret."""

    kind: ClassVar[str] = "forget"
    secret: str

    @property
    def touches(self) -> str:
        return f"secret {self.secret}"

    def describe(self) -> str:
        return f"forget the secret {self.secret}"

    def command(self) -> str:
        return f"disco secrets forget {self.secret}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"the secret {self.secret}",)


@dataclass(frozen=True)
class Discard(Action):
    """Remove a kept file."""

    kind: ClassVar[str] = "discard"
    kept: str

    @property
    def touches(self) -> str:
        return f"kept {self.kept}"

    def describe(self) -> str:
        return f"discard the kept file {self.kept}"

    def command(self) -> str:
        return f"git rm kept/STACK/{self.kept}"

    @property
    def destroys(self) -> tuple[str, ...]:
        return (f"the kept file {self.kept}",)


async def remember(action: Remember, store: Store, report: Report) -> None:
    """Written once: a secret that exists is left alone, whatever made it, unless it rotates and
    somebody knows it who may not any more."""
    if _is_there(action, store):
        return
    report(f"making {action.generate.describe()}", None)
    fields = await asyncio.to_thread(action.generate.make)
    if not _is_there(action, store):  # another step may have been faster
        store.put(action.secret, fields)


async def certify(action: Certify, store: Store, report: Report) -> None:
    """Both halves are written at once. Raises DiscoError for an authority that can't sign."""
    if store.has(action.secret) and not due(action, store):
        return
    report(f"signing {action.secret}", None)
    ca = store.fields(action.authority)
    crt, key = certificates.server_certificate(ca["crt"], ca["key"], action.names, action.days)
    store.put(action.secret, {"crt": crt, "key": key})


def due(action: Certify, store: Store) -> str:
    """Why a certificate that is there is made again, or nothing."""
    owed = store.owed()
    if action.secret in owed:
        return owed[action.secret]
    if not store.has(action.authority):
        return "its authority is gone"
    crt = store.lookup(SecretRef(action.secret, "crt"))
    ca = store.lookup(SecretRef(action.authority, "crt"))
    found = certificates.fault(crt, ca, action.names, action.renew_days)
    return f"the one there {found}" if found else ""


def _is_there(action: Remember, store: Store) -> bool:
    return store.has(action.secret) and not (action.rotates and action.secret in store.owed())


def anew(actions: Iterable[Action], store: Store) -> dict[str, str]:
    """The secrets that these actions make anew -> why: they are owed, or a certificate is due."""
    wanted = list(actions)
    mine = [a.secret for a in wanted if isinstance(a, Remember) and a.rotates]
    owed = store.owed() if mine else {}
    found = {secret: owed[secret] for secret in mine if secret in owed}
    for action in wanted:
        if isinstance(action, Certify) and store.has(action.secret):
            again = f"so is {action.authority}" if action.authority in found else ""
            if why := again or due(action, store):
                found[action.secret] = why
    return found


def settled(actions: Sequence[Action], done: Collection[str], store: Store) -> frozenset[str]:
    """Identities of what is done, secrets counted: those that are there, made once. What uses one
    that is made anew is not done, though it is as it was declared."""
    names, again = store.names(), set(anew(actions, store))
    made = (a for a in actions if isinstance(a, Remember | Certify))
    there = {a.identity for a in made if a.secret in names - again}
    using = {a.identity for a in actions if again and secrets_in(a) & again}
    return (frozenset(done) | there) - using


def told_anew(why: Mapping[str, str]) -> list[str]:
    """Lines for who reviews the plan."""
    return [f"the secret {secret} is made anew: {text}" for secret, text in why.items()]


async def forget(action: Forget, store: Store, report: Report) -> None:
    report(action.describe(), None)
    store.forget(action.secret)


async def discard(action: Discard, store: Store, report: Report) -> None:
    report(action.describe(), None)
    store.discard(action.kept)
