"""Long-running programs: their lines, their end, and that nothing of them is left."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from disco.artifacts.process import output, run
from disco.engine.errors import DiscoError

Until = Callable[[Callable[[], bool]], Awaitable[None]]
Alive = Callable[[int], bool]


async def test_lines_come_as_they_are_printed_and_the_last_are_kept() -> None:
    seen: list[str] = []
    script = "import sys; print('one', flush=True); print('two', file=sys.stderr); sys.exit(3)"
    ended = await run([sys.executable, "-c", script], on_line=seen.append)
    assert ended.code == 3 and not ended.ok
    assert seen == ["one", "two"] and ended.tail == ("one", "two")


async def test_both_outputs_can_be_had_apart() -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr)"
    assert await output([sys.executable, "-c", script]) == (0, "out\n", "err\n")


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(DiscoError, match="no-such-program"):
        await run(["no-such-program"])


async def test_a_cancelled_run_leaves_no_process_behind(
    tmp_path: Path, until: Until, alive: Alive
) -> None:
    ready = asyncio.Event()
    script = "sleep 1000 & echo $!; wait"
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        ready.set()

    task = asyncio.create_task(run(["sh", "-c", script], on_line=on_line))
    await asyncio.wait_for(ready.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(pids[0]))


async def test_a_run_cancelled_while_it_starts_leaves_no_process_behind(
    tmp_path: Path, until: Until, alive: Alive
) -> None:
    file = tmp_path / "pid"
    task = asyncio.create_task(run(["sh", "-c", f"sleep 1000 & echo $! > {file}; wait"]))
    while not list(tmp_path.iterdir()):
        await asyncio.sleep(0)
        time.sleep(0.02)  # noqa: ASYNC251 the event loop must not get on with the start
    async with asyncio.timeout(10):
        while not file.read_text():
            time.sleep(0.01)  # noqa: ASYNC251
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not alive(int(file.read_text())))
