"""`disco` as a process over a network in memory: simulated_top.py STACK FOLDER [its arguments].

STACK is a name of `sim.stacks`. What else is true comes from the environment:
SIMULATED_DOWN=1: nothing was made. SIMULATED_SILENT=SECTION: that component never answers.
SIMULATED_MISTAKE=1: drawing fails, with a secret in a local variable.

Few real checks can be answered in memory; a green and a red one stand for all.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from disco.cli.main import main
from disco.cli.wiring import Session
from disco.engine.check import Answer, Check
from disco.engine.component import Component
from disco.layers import registry
from sim.stack import SimulatedStack
from sim.stacks import STACKS

SECRET = "a-value-that-nobody-may-see"


async def _green() -> Answer:
    return Answer(True, "3 of 3 hosts answer")


async def _red() -> Answer:
    return Answer(False, "stands at 12\x1b[2J for 15 s")


def _checks(component: Component, world: Any) -> Iterator[Check]:
    if component.section == "servers":
        yield Check("servers/ssh", "Does it answer?", "start it", _green)
    if component.section == "chains":
        yield Check("chain/akash/height", "Does it rise?", "disco logs akash", _red)


async def _never(component: Component, world: Any) -> Any:
    await asyncio.Event().wait()


def _broken(*arguments: Any) -> Any:
    local = SECRET
    raise ValueError(f"{len(local)} letters")


def prepared() -> None:
    """The components as this process has them."""
    for component in registry.components():
        component.checks = _checks  # type: ignore[method-assign]
        if component.section == os.environ.get("SIMULATED_SILENT"):
            component.status = _never  # type: ignore[method-assign]
    if os.environ.get("SIMULATED_MISTAKE"):
        from disco.cli import glance

        glance.rows = _broken


def _run(name: str, folder: Path, arguments: list[str]) -> None:
    stack = SimulatedStack(STACKS[name], folder)
    if not os.environ.get("SIMULATED_DOWN"):
        assert stack.apply().done
    prepared()

    @asynccontextmanager
    async def opens(file: Path, makes: bool = True) -> AsyncIterator[Session]:
        yield stack.session()

    sys.argv = ["disco", *arguments]
    with patch("disco.cli.top.open_stack", opens):
        main()


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
