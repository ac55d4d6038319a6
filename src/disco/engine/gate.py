"""The one gate for every mutation: nothing changes the world but through here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from disco.engine.action import Action
from disco.engine.errors import DiscoError
from disco.engine.journal import Journal
from disco.engine.retry import ATTEMPTS, tried

RETRIES = 12  # of all actions of a run in one place together

Report = Callable[[str, float | None], None]
Executor = Callable[[Action, Report], Awaitable[None]]


class Gate:
    """Carries out actions by their kind, with intent and outcome in the journal.

    check:  awaited before every action and every new attempt; raises when this run may not go on
            (a lost lock, or one that can't be asked for), and what was to begin is not begun.
    closed: what it raised first. From then on nothing is begun, and it is not asked again.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor],
        journal: Journal,
        run: str,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._executors = executors
        self._journal = journal
        self._run = run
        self._check = check
        self._retries: Counter[str] = Counter()
        self.closed: Exception | None = None

    async def carry_out(self, step: str, action: Action, report: Report) -> None:
        """Do it, again if that can help. Every action is atomic or safe to repeat."""
        executor = self._executors.get(action.kind)
        if executor is None:
            raise LookupError(f"nothing here carries out actions of kind {action.kind}")
        await self._must_be_open()
        note = {"run": self._run, "step": step, "action": action.identity}
        await self._journal.record("intent", digest=action.digest[:16], **note)
        try:
            await self._attempts(executor, action, report)
        except Exception as error:
            await self._journal.record("failed", error=str(error), **note)
            raise
        await self._journal.record("done", **note)

    async def _must_be_open(self) -> None:
        """Raises what closed the gate, the same to all who ask."""
        if self.closed is None:
            try:
                await self._check()
            except Exception as error:
                self.closed = self.closed or error
        if self.closed is not None:
            raise self.closed

    async def _attempts(self, executor: Executor, action: Action, report: Report) -> None:
        attempts = 0

        async def once() -> None:
            nonlocal attempts
            if attempts:
                await self._must_be_open()
            attempts += 1
            await executor(action, report)

        def again(number: int, error: DiscoError) -> None:
            self._retries[action.place] += 1
            if self._retries[action.place] > RETRIES:
                error.details += (f"not tried again: {action.place} failed {RETRIES} times before",)
                raise error
            report(f"trying again ({number} of {ATTEMPTS - 1}): {error.what}", None)

        await tried(once, again)
