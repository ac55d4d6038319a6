"""Which chains there are: those that come with DISCO, those of other packages, and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from disco.chains.definition import Chain
from disco.engine import entry_point
from disco.engine.errors import DiscoError, Several, WrongUse

GROUP = "disco.chains"  # an entry point's object is a path, or an iterable of paths, of YAML files
SCHEMA_HELP = "compare with the definition that `disco chain new` writes"


def chains(files: Iterable[Path] = ()) -> dict[str, Chain]:
    """Every known chain by name; a name that is defined twice is an error that names both files."""
    return {name: chain for name, (chain, _) in defined(files).items()}


def defined(files: Iterable[Path] = ()) -> dict[str, tuple[Chain, str]]:
    """The same, each with the file that defines it."""
    found: dict[str, tuple[Chain, str]] = {}
    for source in (*_bundled(), *_entry_points(), *files):
        chain = load(source)
        if chain.name in found:
            raise WrongUse(
                f"the chain {chain.name} is defined twice",
                where=str(source),
                why=f"the other definition is {found[chain.name][1]}",
                fix="give one of them another name",
            )
        found[chain.name] = (chain, str(source))
    return dict(sorted(found.items()))


def find(name: str, base: Path) -> Chain:
    """A chain by its name, or by the path of its file as seen from the folder `base`."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return load(base / name)
    known = chains()
    if name not in known:
        raise WrongUse(
            f"there is no chain {name!r}",
            fix=f"choose one of {', '.join(known)}, or give the path of a YAML file",
        )
    return known[name]


def load(source: Path | Traversable) -> Chain:
    """One definition; every mistake in it with its line and column, all at once."""
    data = _read(source)
    try:
        return Chain.model_validate(_plain(data))
    except pydantic.ValidationError as invalid:
        errors = [_mistake(source, data, e["loc"], e["msg"]) for e in invalid.errors()]
    raise errors[0] if len(errors) == 1 else Several(errors)


def _bundled() -> Iterator[Traversable]:
    folder = resources.files("disco.chains")
    return iter(sorted(_yaml_files(folder), key=lambda f: f.name))


def _yaml_files(folder: Traversable) -> Iterator[Traversable]:
    return (f for f in folder.iterdir() if f.name.endswith(".yaml"))


def _entry_points() -> Iterator[Path]:
    for entry in entry_point.found(GROUP):
        given = entry_point.load(entry)
        try:
            paths = [Path(given)] if isinstance(given, (str, Path)) else [Path(p) for p in given]
        except TypeError as error:
            why = "it has to be the path of a YAML file, or several"
            raise entry_point.refused(entry, "names no chains", why) from error
        yield from paths


def _read(source: Path | Traversable) -> Any:
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WrongUse(
            "there is no such chain definition",
            where=str(source),
            fix="check the path; it is relative to the stack file",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse("a chain definition can't be read", str(source), str(error)) from None
    try:
        return YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else str(source)
        raise WrongUse("this is not valid YAML", place, str(error.problem), SCHEMA_HELP) from None
    except YAMLError as error:
        raise WrongUse("this is not valid YAML", str(source), str(error), SCHEMA_HELP) from None


def _plain(data: Any) -> Any:
    """The document without ruamel's own types."""
    if isinstance(data, dict):
        return {str(k): _plain(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_plain(v) for v in data]
    return data


def _mistake(
    source: Path | Traversable, data: Any, loc: tuple[int | str, ...], message: str
) -> DiscoError:
    line, column = _position(data, loc)
    path = ".".join(str(part) for part in loc) or "the file"
    why = message[:1].lower() + message[1:]
    return WrongUse(f"{path}: {why}", where=f"{source}:{line}:{column}", fix=SCHEMA_HELP)


def _position(data: Any, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest key of `loc` that is in the document."""
    place = (1, 1)
    for part in loc:
        try:
            marks = data.lc
            row, column = marks.key(part) if isinstance(part, str) else marks.item(part)
            data = data[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            return place
        place = (row + 1, column + 1)
    return place
