"""An event loop whose time passes only when everybody waits: waiting costs nothing.

Everything is in memory and threads are run in place, so a run is the same each time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sim.errors import SimulationError

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """passed: told how many seconds have just gone by."""

    def __init__(self, passed: Callable[[float], None] = lambda seconds: None) -> None:
        self._now = 0.0
        self._passed = passed
        super().__init__(_NoWaiting(self._pass))
        self.set_default_executor(_InPlace())

    def time(self) -> float:
        return self._now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There are no threads to wait for; the usual way starts one for it."""

    def _pass(self, seconds: float) -> None:
        self._now += seconds
        self._passed(seconds)


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, passed: Callable[[float], None]) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self._passed(timeout)
            return []
        found = super().select(0)
        if timeout is None and not found:
            raise SimulationError("everybody waits for something that nobody will do")
        return found


class _InPlace(ThreadPoolExecutor):
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def in_virtual_time(
    work: Coroutine[Any, Any, T], passed: Callable[[float], None] = lambda seconds: None
) -> T:
    """The result of a coroutine, as soon as it can be known."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(passed)) as runner:
        return runner.run(work)
