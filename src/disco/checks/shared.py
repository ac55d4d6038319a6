"""What several checks of one run look at together: asked once, or set up and taken down once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from disco.engine.errors import DiscoError

T = TypeVar("T")


class Once(Generic[T]):
    """A question whose answer, or error, is kept. One that was cut off is asked again."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._answer: list[T] = []
        self._error: DiscoError | None = None

    async def __call__(self) -> T:
        async with self._lock:
            if self._error:
                raise self._error
            if not self._answer:
                try:
                    self._answer.append(await self._ask())
                except DiscoError as error:
                    self._error = error
                    raise
            return self._answer[0]


class Shared(Generic[T]):
    """Something that is set up for the first user and taken down after the last one.

    Whoever leaves last waits for the taking down, also when it was cut off itself.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._users = 0
        self._open: AbstractAsyncContextManager[T] | None = None
        self._value: list[T] = []

    @asynccontextmanager
    async def use(self) -> AsyncIterator[T]:
        self._users += 1
        try:
            yield await self._opened()
        finally:
            self._users -= 1
            if not self._users and self._open:
                closing, self._open, self._value = self._open, None, []
                await to_the_end(closing.__aexit__(None, None, None))

    async def _opened(self) -> T:
        async with self._lock:
            if not self._value:
                opening = self._make()
                self._value.append(await opening.__aenter__())
                self._open = opening
            return self._value[0]


async def to_the_end(work: Awaitable[object]) -> None:
    """Wait for it; being cut off meanwhile is noticed only after it. Its own errors are raised."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
