"""Which chains there are: those that come with DISCO, those of other packages, and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from disco.chains.definition import Chain
from disco.engine import entry_point
from disco.engine.errors import DiscoError, Several, WrongUse
from disco.stack.problem import Problem, StackProblems, visible
from disco.stack.typed import typed

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
    with resources.as_file(source) as path:
        if _is_missing(path):
            raise WrongUse(
                f"there is no such chain definition: {visible(str(source))}",
                fix="check the path; it is relative to the stack file",
            )
        try:
            return typed(path, Chain)
        except StackProblems as wrong:
            errors: list[DiscoError] = [_mistake(problem) for problem in wrong.problems]
    raise errors[0] if len(errors) == 1 else Several(errors)


def _is_missing(path: Path) -> bool:
    """Not there, as far as the system says; what it refuses to say is told by reading."""
    try:
        return not path.exists()
    except OSError:
        return False


def _mistake(problem: Problem) -> WrongUse:
    return WrongUse(
        f"{problem.path or 'the file'}: {problem.message}",
        where=problem.place,
        fix=problem.hint or SCHEMA_HELP,
    )


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
