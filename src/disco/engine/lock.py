"""One writer at a time on a stack: what a run may rely on, wherever the lock is kept."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from disco.engine.errors import DiscoError


@dataclass(eq=False)
class LockLost(DiscoError):
    """The lock is another's now, or nobody's: it was taken over, or broken."""


@dataclass(frozen=True)
class Holder:
    """Who took the lock last. For people; nothing that changes the world is decided by it.

    pid:   of the process, on the machine that `who` names.
    at:    Unix time by the holder's clock, which may be wrong; 0 when it is not known.
    alive: whether its run may go on: its process is there, or, where nobody here can know that,
           the lock was neither released nor broken.
    token: the fencing token that it got; 0 when it is not known.
    """

    who: str
    what: str
    pid: int
    at: float
    alive: bool
    token: int = 0


class Held(Protocol):
    """The lock in the hands of one run."""

    @property
    def token(self) -> int:
        """Greater than the token of every holder before, also of those that died."""

    async def check(self) -> None:
        """Return when the lock is still ours, and raise in every other case.

        Asked before every action and every new attempt. It may ask a store far away: it is awaited,
        and tries again by itself as often as makes sense, since its first error ends the run. One
        answer may serve all who had asked before it was fetched.

        Raises LockLost when the lock was taken over or broken, from then on for good; another
        DiscoError when that can't be known just now. Both say `Retry.NEVER`: the action is not
        begun. What had begun before goes on to its end.
        """


class Lock(Protocol):
    """The lock of one stack.

    - It has one holder at a time. Who comes second is refused at once, and told who has it.
    - No clock decides anything: not who holds it, not whether a holder is dead.
    - A holder who lost it never believes that he has it: his `check` raises.
    - Releasing it releases what this holder took, and never what another has taken since.
    - What happens when a holder dies is the kind's own. Where the system that keeps the lock sees
      that, it is free at once. Else it stays held until a person breaks it, deliberately.
    """

    def hold(self, what: str) -> AbstractContextManager[Held]:
        """Hold it for the time of a run. what: the command, as it would be typed again.

        Raises DiscoError at once, naming the holder, when another run has it; and when the lock
        can't be asked for. Raises DiscoError at the end when it can't be released; it stays held.
        """

    def last_holder(self) -> Holder | None:
        """None when nobody ever took it. Takes nothing, and stops nobody.

        Raises PermissionError when this account may not know, DiscoError when nobody can be asked.
        """
