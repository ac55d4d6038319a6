"""`disco doctor --bundle`: what somebody who helps needs, in one file, and no secret in it.

Every secret of the store is opened first, so that its value is known and masked wherever it may
have got to. Where one can't be opened, nothing is packed that could repeat what a program said.
"""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from disco.checks import report
from disco.cli import human, speak
from disco.cli.logs import Source, sources_of
from disco.cli.opened import veiled
from disco.cli.target import target
from disco.cli.wiring import Session
from disco.engine.errors import DiscoError, Several, WrongUse
from disco.engine.place import write_atomically
from disco.stack.explain import explain
from disco.store.redact import redact

if TYPE_CHECKING:
    from disco.cli.doctor import Diagnosis

LINES = 200  # of each log
SOURCES = 24  # logs
SOURCE_S, LOGS_S = 6.0, 30.0
FILE_BYTES = 2_000_000  # of each file the end is kept
Files = dict[str, str]


def refuse_if_there(path: Path) -> None:
    """Raise WrongUse: a file that is there may be somebody's."""
    if path.exists():
        raise WrongUse(f"{path} is there already", fix="name another file, or remove it")
    if not path.absolute().parent.is_dir():
        raise WrongUse(f"the folder of {path} is not there", fix="make it, or name another file")


async def write(session: Session, found: Diagnosis, path: Path) -> list[dict[str, Any]]:
    """Collect, mask, pack. Returns name and bytes of each file that is in it."""
    sealed = _open_all(session)
    files = dict(_of_stack(session)) | _of_looks(found)
    if sealed:
        told = f"left out, for these secrets can't be opened and so not masked: {sealed}\n"
        files["left-out.txt"] = told
    else:
        files |= _of_programs(session, found) | await _logs(session, found)
    values = [*session.store.revealed(), *_given(session)]
    masked = {n: redact(veiled(text), values).encode()[-FILE_BYTES:] for n, text in files.items()}
    write_atomically(path.absolute(), _packed(f"disco-{session.loaded.name}", masked))
    return [{"name": n, "bytes": len(content)} for n, content in masked.items()]


def show(path: Path, files: list[dict[str, Any]]) -> None:
    """What is in it, a line for each file."""
    rows = [[one["name"], human.size(one["bytes"]).rjust(9)] for one in files]
    speak.data_table(["file", "size"], rows)
    told = "no secret of the stack is in it, but names and addresses are"
    speak.talk(f"{path}: {human.count(len(files), 'file')}, for you alone to read; {told}")


def _open_all(session: Session) -> list[str]:
    """From here on every secret's value is known; returns the names of those that can't be."""
    sealed = []
    try:
        names = sorted(session.store.names())
    except OSError:
        return ["all of them"]
    for name in names:
        try:
            session.store.fields(name)
        except (DiscoError, OSError):
            sealed.append(name)
    return sealed


def _given(session: Session) -> Iterator[str]:
    """Declared secrets, and what the environment gave: nobody said that it is none."""
    loaded = session.loaded
    for key, spec in loaded.specs.items():
        data, start = spec.model_dump(), tuple(key.split(".", 1))
        yield from (x.get_secret_value() for x in _leaves(data) if isinstance(x, SecretStr))
        for trail, origin in loaded.origins.items():
            if origin.variables and trail[: len(start)] == start:
                yield from map(str, _leaves(_at(data, trail[len(start) :])))


def _at(data: Any, trail: tuple[str | int, ...]) -> Any:
    for part in trail:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (leaf for v in value.values() for leaf in _leaves(v))
    elif isinstance(value, (list, tuple)):
        yield from (leaf for v in value for leaf in _leaves(v))
    elif value is not None and not isinstance(value, bool):
        yield value


def _of_stack(session: Session) -> Iterator[tuple[str, str]]:
    """The file as it was written, `${env:…}` and all, and what it means."""
    yield "stack.yaml", session.loaded.path.read_text(errors="replace")
    rows = [f"{r.path} = {r.value}   ({r.origin})" for r in explain(session.loaded)]
    yield "config.txt", "\n".join(rows) + "\n"


def _of_looks(found: Diagnosis) -> Files:
    """What is DISCO's own: nothing in it was said by a program."""
    files = {"versions.json": _json(found.versions)}
    if found.looked.plan:
        files["plan.json"] = _json(found.looked.plan.data())
    return files


def _of_programs(session: Session, found: Diagnosis) -> Files:
    """What may repeat the words of programs that failed."""
    files = {"doctor.json": _json(found.data())}
    records = [json.dumps(r, ensure_ascii=False) for r in session.journal.read()]
    files["journal.jsonl"] = "\n".join(records) + "\n"
    if found.looked.status:
        files["status.json"] = _json(found.looked.status.data())
    if found.looked.answers:
        files["checks.json"] = _json(report.data(found.looked.answers))
    return files


async def _logs(session: Session, found: Diagnosis) -> Files:
    """The last lines of what is not well, as `disco logs` reads them."""
    files: Files = {}
    names = dict.fromkeys(f.about for f in found.found if f.about)
    try:
        async with asyncio.timeout(LOGS_S):
            for name in names:
                for source in islice(await _sources(session, name), SOURCES - len(files)):
                    text = await _last_lines(source)
                    files[f"logs/{source.key.replace('/', '_').replace(':', '_')}.log"] = text
    except TimeoutError:
        files["logs/left-out.txt"] = f"no more logs came within {LOGS_S:.0f} s\n"
    return files


async def _sources(session: Session, name: str) -> list[Source]:
    """Where the cluster can't be asked for its pods, what its hosts say of it. None where a host
    can't be asked either, which is told elsewhere."""
    try:
        async with asyncio.timeout(SOURCE_S):
            wanted = await target(session, name)
    except (DiscoError, Several, TimeoutError):
        return []
    for one in (wanted, replace(wanted, pods=())):
        try:
            async with asyncio.timeout(SOURCE_S):
                return await sources_of(session, one, follow=False, tail=LINES)
        except (DiscoError, Several, TimeoutError):
            continue
    return []


async def _last_lines(source: Source) -> str:
    lines: list[str] = []
    try:
        async with asyncio.timeout(SOURCE_S), aclosing(source.lines()) as stream:  # type: ignore[type-var]
            async for line in stream:
                lines.append(line.rstrip("\r\n"))
    except (DiscoError, TimeoutError) as error:
        lines.append(f"(cut off: {error or 'no answer in time'})")
    return "\n".join(lines[-LINES:]) + "\n"


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n"


def _packed(folder: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mode, info.mtime = len(content), 0o600, int(time.time())
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
