"""The command line's frame: groups of commands, and the flags that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from disco import __version__
from disco.cli.speak import Out

STACK = Path("stack.yaml")

File = Annotated[Path, Parameter(name=["--file", "-f"], help="The stack file.")]


def flag(*names: str, help: str) -> Parameter:
    """Something that is off unless it is said."""
    return Parameter(name=names or None, negative="", show_default=False, help=help)


Json = Annotated[bool, flag("--json", help="Print data instead of text.")]
Yes = Annotated[bool, flag("--yes", "-y", help="Agree beforehand.")]
AllowDestroy = Annotated[
    bool,
    flag("--allow-destroy", help="What the plan destroys may be lost."),
]
Form = Annotated[Literal["text", "markdown", "html"], Parameter(help="How the plan is drawn.")]
Targets = Annotated[
    tuple[str, ...],
    Parameter(
        name="--target",
        negative="",
        show_default=False,
        consume_multiple=False,
        help="Only this component (`vault`) or step (`kubernetes/h3`), with what it needs; again "
        "for others.",
    ),
]
Excluded = Annotated[
    tuple[str, ...],
    Parameter(
        name="--exclude",
        negative="",
        show_default=False,
        consume_multiple=False,
        help="Without this component or step, and without what needs it; again for others.",
    ),
]
LayerName = Annotated[
    Literal["servers", "cluster", "platform", "akash", "services"] | None,
    Parameter(help="Only this layer; of `down`, this one and those above it."),
]
Parallel = Annotated[int, Parameter(help="Steps that run at the same time.")]

WRITE = Group("Write a stack file", sort_key=1)
CHANGE = Group("Change what runs", sort_key=2)
LOOK = Group("Look at what runs", sort_key=3)
INSIDE = Group("Go inside", sort_key=4)
TEAM = Group("Who may know what", sort_key=5)
THINGS = Group("What it is made of", sort_key=6)


def of(stack: Path) -> str:
    """The flag that names a stack in a command to type; empty for the one that is meant anyway."""
    return "" if stack == STACK else f" -f {shlex.quote(str(stack))}"


app = App(
    name="disco",
    version=__version__,
    help="From bare servers, or one laptop, to a running, observable, key-managed network.",
    help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong use, 3 checks failed.",
    help_format="plaintext",
    console=Out(),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
