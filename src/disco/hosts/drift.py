"""What people changed on a host: as it is there, beside what was declared, and whose it is.

A secret is never shown: of a file that holds one, only that it is another.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from difflib import unified_diff

from disco.engine.drift import Difference
from disco.engine.secret import Lookup
from disco.hosts.actions import CTR, HostAction, Images, Packages, Program, Put, Run, Unit
from disco.hosts.sessions import Sessions

LINES = 12  # of a file's difference; the rest is told by its number
BYTES = 200_000
MARK = "=== "  # what follows is an answer's name


async def of_action(sessions: Sessions, lookup: Lookup, action: HostAction) -> list[Difference]:
    """What differs, so that this action has something to do. Empty when nothing can be said."""
    script = _question(action)
    if not script:
        return []
    out = await sessions.must(action.host, ["sh", "-s"], script.encode(), within_s=20)
    return list(_compared(action, _answers(out), lookup))


def _question(action: HostAction) -> str:
    """Shell that prints answers, each after a line with its name."""
    match action:
        case Put():
            path = shlex.quote(action.path)
            return (
                f"[ -e {path} ] || exit 0\n"
                f"echo '{MARK}mode'; stat -c %a {path}\n"
                f"echo '{MARK}owner'; stat -c '%U %y' {path} | cut -d. -f1\n"
                f"echo '{MARK}content'; head -c {BYTES} {path}\n"
            )
        case Program():
            links = (f"echo '{MARK}{n}'; readlink {shlex.quote(n)}\n" for n in action.names)
            return "".join((*links, "true\n"))
        case Unit():
            unit = shlex.quote(action.unit)
            return (
                f"echo '{MARK}enabled'; systemctl is-enabled {unit} 2>&1\n"
                f"echo '{MARK}active'; systemctl is-active {unit} 2>&1\n"
                f"echo '{MARK}configuration'; cat {shlex.quote(action.stamp)} 2>/dev/null\n"
                f"echo '{MARK}written'\n{_written_since(action)}true\n"
            )
        case Packages():
            names = " ".join(map(shlex.quote, action.names))
            return (
                f"echo '{MARK}status'\n"
                f"dpkg-query -W -f '${{Package}} ${{db:Status-Abbrev}}\\n' {names} 2>/dev/null\n"
                f"echo '{MARK}held'; apt-mark showhold {names} 2>/dev/null\ntrue\n"
            )
        case Images():
            listing = f"timeout 10 {shlex.join(CTR)} images ls 2>/dev/null"
            return f"echo '{MARK}images'; {listing}\ntrue\n"
    return ""


def _answers(out: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in out.splitlines(keepends=True):
        if line.startswith(MARK) and name != "content":
            name = line.removeprefix(MARK).strip()
            found[name] = []
        elif name:
            found[name].append(line)
    return {name: "".join(lines) for name, lines in found.items()}


def _compared(action: HostAction, now: dict[str, str], lookup: Lookup) -> Iterator[Difference]:
    match action:
        case Put():
            yield from _file(action, now, lookup)
        case Program():
            for name in action.names:
                if (target := now[name].strip()) != action.target:
                    shown = target or "no link of ours"
                    yield Difference(f"{action.host.name}:{name}", "target", shown, action.target)
        case Unit():
            yield from _unit(action, now)
        case Packages():
            yield from _packages(action, now)
        case Images():
            for name, digest in action.images:
                thing = f"{action.host.name}:image {name}"
                if name not in now["images"]:
                    yield Difference(thing, "", "gone")
                elif digest not in now["images"]:
                    yield Difference(thing, "digest", "another", digest)
        case Run():
            return


def _file(put: Put, now: dict[str, str], lookup: Lookup) -> Iterator[Difference]:
    if "mode" not in now:
        yield Difference(put.touches, "", "gone")
        return
    owner, mode = now["owner"].strip(), f"{put.mode:o}"
    if now["mode"].strip() != mode:
        yield Difference(put.touches, "mode", now["mode"].strip(), mode, owner)
    if now["content"] == put.content.reveal(lookup):
        return
    if put.content.secrets:
        yield Difference(put.touches, "content", "another", owner=owner)
        return
    lines = list(unified_diff(str(put.content).splitlines(), now["content"].splitlines(), n=0))
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    more = [f"… {len(changed) - LINES} more lines"] if len(changed) > LINES else []
    yield Difference(put.touches, "content", "\n".join([*changed[:LINES], *more]), owner=owner)


def _unit(unit: Unit, now: dict[str, str]) -> Iterator[Difference]:
    for field, declared in (("enabled", "enabled"), ("active", "active")):
        if not unit.lent and (state := now[field].strip()) != declared:
            yield Difference(unit.touches, field, state, declared)
    if now["configuration"].strip() != unit.config:
        yield Difference(unit.touches, "configuration", "not the one it was started with")
    for path in now["written"].split():
        yield Difference(unit.touches, "configuration", f"{path} was written since it was started")


def _written_since(unit: Unit) -> str:
    paths = [shlex.quote(file.path) for file in unit.reads]
    return "".join(f"[ ! {p} -nt {shlex.quote(unit.stamp)} ] || echo {p}\n" for p in paths)


def _packages(packages: Packages, now: dict[str, str]) -> Iterator[Difference]:
    states = dict(line.split(maxsplit=1) for line in now["status"].splitlines() if " " in line)
    thing = f"{packages.host.name}:package"
    for name in packages.names:
        if (state := states.get(name, "un").strip()) != "ii":
            yield Difference(f"{thing} {name}", "", _state(state), "installed")
    for name in now["held"].split():
        yield Difference(f"{thing} {name}", "hold", "held back", owner="apt-mark")


def _state(abbreviation: str) -> str:
    """dpkg's two letters in words, see dpkg-query(1)."""
    known = {"un": "not installed", "rc": "removed", "iU": "unpacked", "iF": "half-configured"}
    return known.get(abbreviation, f"in state {abbreviation}")
