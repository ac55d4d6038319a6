"""What is no longer as it was declared: one field of one thing, and who changed it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from disco.engine.action import Action


@dataclass(frozen=True)
class Difference:
    """thing: `h1:/etc/hosts`, `Deployment coredns`. field: empty for the whole of it.

    now, declared: a short text of each; empty where it must not be shown. owner: who set what is
    there now, as far as that is known: a field manager, or a user and a time.
    """

    thing: str
    field: str
    now: str
    declared: str = ""
    owner: str = ""

    def __str__(self) -> str:
        name = f"{self.thing}: {self.field}" if self.field else self.thing
        declared = f", declared {self.declared}" if self.declared else ""
        return f"{name} is {self.now}{declared}"


Explain = Callable[[Action], Awaitable[list[Difference]]]
