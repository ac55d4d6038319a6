"""Runs a chain's own program on this machine: bounded in time, with nothing of ours around it."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from disco.chains.commands import Arguments
from disco.engine.errors import DiscoError

TIMEOUT_S = 60.0
LAST_LINES = 8


@dataclass(frozen=True)
class Program:
    """A program with its home folder.

    redact: masks secrets in what it printed, before that is shown.
    """

    path: Path
    home: Path
    redact: Callable[[str], str]
    timeout_s: float = TIMEOUT_S

    async def run(self, arguments: Arguments, stdin: str = "") -> str:
        """Its output; DiscoError when it can't run, fails, or takes longer than `timeout_s`."""
        process = await _whole(self._start((*arguments, "--home", str(self.home))))
        try:
            async with asyncio.timeout(self.timeout_s):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError:
            raise self._failed(arguments, f"no end after {self.timeout_s:.0f} s") from None
        finally:
            await _end(process)
        if process.returncode != 0:
            said = (out + err).decode(errors="replace").strip().splitlines()
            # Usage texts come last and are long; the reason starts with "Error".
            reason = next((n for n, line in enumerate(said) if line.startswith("Error")), 0)
            raise self._failed(arguments, "\n".join(said[reason:][:LAST_LINES]))
        return out.decode(errors="replace")

    async def _start(self, arguments: Arguments) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                self.path,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Variables like AKASH_OUTPUT would change what it does.
                env={"HOME": str(self.home), "PATH": os.defpath},
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(arguments, str(error.strerror)) from None

    def _failed(self, arguments: Arguments, why: str) -> DiscoError:
        return DiscoError(
            f"{self.path.name} {' '.join(arguments[:2])} failed",
            where=str(self.path),
            why=self.redact(why),
            fix="check that the program's version fits the chain's definition: disco chain",
        )


async def _whole(start: Coroutine[None, None, Process]) -> Process:
    """Starting is not cut in half by a cancellation: nobody would know what to end."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _end(process: Process) -> None:
    """Nothing that was started outlives its caller, whatever ended the wait."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended between the look and the kill
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
