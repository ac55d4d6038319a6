"""`disco status`: what runs, by layer, and how each thing is reached from this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from disco.cli import speak
from disco.cli.app import of
from disco.cli.wiring import Session, open_stack
from disco.engine.component import Component, Layer, StatusLine
from disco.engine.errors import DiscoError, Exit, NotThere, Several

HEADINGS = ["layer", "component", "what", "state", "reach it by"]


async def status(file: Path, as_json: bool) -> int:
    async with open_stack(file) as session:
        return await show_status(session, as_json)


async def show_status(session: Session, as_json: bool = False) -> int:
    """Ask every component that can be asked. Returns the exit code: red when something is not
    as it should be."""
    components = await session.components()
    lines: dict[str, list[StatusLine]] = {}
    errors: list[str] = []
    with speak.doing("asking every component"):
        for node in session.graph:  # each after what it stands on: what is down is not asked
            down = [up for up in node.upstream if not _is_up(lines[up])]
            if down:
                lines[node.name] = [StatusLine("", f"waits for {', '.join(down)}", "", False)]
            else:
                lines[node.name] = await _lines(session, components[node.name], errors)
    rows = [
        (components[n], x, _reached_by(x, session.loaded.path))
        for n, ls in lines.items()
        for x in ls
    ]
    if as_json:
        speak.data_json([_data(*row) for row in rows])
    else:
        _print([[str(v) for v in _data(*row).values()] for row in rows])
        for error in errors:
            speak.talk(error, "red")
    return int(Exit.DONE if all(x.ok for _, x, _ in rows) else Exit.RED)


def _print(rows: list[list[str]]) -> None:
    """One line each; how it is reached on a line of its own where there is no room beside."""
    told, layer_before = [], ""
    for layer, component, what, state, reached_by, ok in rows:
        title = "" if layer == layer_before else layer
        told.append(["✓" if ok == str(True) else "✗", title, what or component, state, reached_by])
        layer_before = layer
    speak.data_lines(told)


def _is_up(lines: list[StatusLine]) -> bool:
    return not lines or any(x.ok for x in lines)


async def _lines(session: Session, component: Component, errors: list[str]) -> list[StatusLine]:
    try:
        return await component.status(session.world)
    except NotThere:
        return [StatusLine("", "not there", "", False)]
    except (DiscoError, Several) as error:
        errors += _told(component.name, error)
        return [StatusLine("", "no answer", "", False)]


def _told(name: str, error: DiscoError | Several) -> Iterator[str]:
    found = error.errors if isinstance(error, Several) else [error]
    for one in found:
        yield f"{name}: {one}" + (f" (fix: {one.fix})" if one.fix else "")


def _data(component: Component, line: StatusLine, reached_by: str) -> dict[str, str | bool]:
    found = [Layer(component.layer).title, component.name, line.thing, line.state, reached_by]
    return {**dict(zip(HEADINGS, found, strict=True)), "ok": line.ok}


def _reached_by(line: StatusLine, stack: Path) -> str:
    """What a person types here: keys and certificates are DISCO's, so plain ssh and kubectl would
    be refused."""
    file = of(stack)
    program, _, rest = line.address.partition(" ")
    match program:
        case "ssh":
            return f"disco shell{file} {line.thing}"
        case "kubectl":
            return f"disco kubectl{file} -- {rest}"
        case "disco":
            command, _, arguments = rest.partition(" ")
            return f"disco {command}{file} {arguments}"
    return line.address
