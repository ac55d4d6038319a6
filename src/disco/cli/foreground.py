"""Another program in the foreground: it has our terminal, and its exit code is ours."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from disco.engine.errors import DiscoError

SIGNALLED = 128  # shells add the signal's number to it


async def attended(
    program: str | Path, argv: Sequence[str], environ: Mapping[str, str] | None = None
) -> int:
    """Run it and wait. argv begins with the name that it is called by. Returns its exit code."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, executable=str(program), env={**os.environ, **(environ or {})}
        )
    except OSError as error:
        raise DiscoError(
            f"{argv[0]} can't be started", where=str(program), why=error.strerror or str(error)
        ) from None
    with _signals_go_to(process):
        code = await process.wait()
    return code if code >= 0 else SIGNALLED - code


@contextmanager
def _signals_go_to(process: asyncio.subprocess.Process) -> Iterator[None]:
    """The terminal sends Ctrl-C to both; what ends us ends it first, so that we tidy up after."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        if process.returncode is None:
            process.terminate()

    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGHUP, end)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
