"""Programs that run for minutes: their lines as they come, no orphan when the run is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disco.engine.errors import DiscoError

KEPT_LINES = 40
GRACE_S = 5.0
LINE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and the last lines that it printed."""

    code: int
    tail: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.code == 0


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Ended:
    """Run to the end, both outputs as one. When cancelled, the whole process group ends first."""
    process = await _start(argv, env, cwd, asyncio.subprocess.STDOUT)
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    assert process.stdout is not None
    try:
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            tail.append(line)
            on_line(line)
        return Ended(await process.wait(), tuple(tail))
    finally:
        await _end_group(process)


async def output(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a program."""
    process = await _start(argv, env, cwd, asyncio.subprocess.PIPE)
    try:
        out, err = await process.communicate()
        return await process.wait(), out.decode(errors="replace"), err.decode(errors="replace")
    finally:
        await _end_group(process)


async def _start(
    argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, stderr: int
) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
            limit=LINE_LIMIT_BYTES,
        )
    )
    try:
        # When a start is cancelled asyncio ends the program, but not what that started already.
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(FileNotFoundError):
            await _end_group(await starting)
        raise
    except FileNotFoundError:
        raise DiscoError(
            f"the program {argv[0]} is not installed", fix=f"install {argv[0]} and run again"
        ) from None


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """Leave nothing of a program that did not come to its own end."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
            return
