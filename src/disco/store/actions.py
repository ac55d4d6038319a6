"""What the store does in a plan: remember something random once, forget it, discard a file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from disco.engine.action import Action
from disco.engine.gate import Report
from disco.store.generate import Generator
from disco.store.store import Store


@dataclass(frozen=True)
class Remember(Action):
    """Make a secret, if there is none of that name yet."""

    kind: ClassVar[str] = "remember"
    secret: str
    generate: Generator

    @property
    def touches(self) -> str:
        return f"secret {self.secret}"

    def describe(self) -> str:
        return f"make {self.generate.describe()} and remember it as {self.secret}"

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
    """Written once: a secret that exists is left alone, whatever made it."""
    if store.has(action.secret):
        return
    report(f"making {action.generate.describe()}", None)
    fields = await asyncio.to_thread(action.generate.make)
    if not store.has(action.secret):  # another step may have been faster
        store.put(action.secret, fields)


async def forget(action: Forget, store: Store, report: Report) -> None:
    report(action.describe(), None)
    store.forget(action.secret)


async def discard(action: Discard, store: Store, report: Report) -> None:
    report(action.describe(), None)
    store.discard(action.kept)
