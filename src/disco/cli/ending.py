"""However a command ends: its exit code, or an error in words, or the report of a mistake."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError

from disco import __version__
from disco.cli import commands, commands_store, commands_things, opened, speak  # noqa: F401
from disco.cli.app import app
from disco.engine.errors import DiscoError, Exit, Several
from disco.stack.problem import StackProblems

OF_OUTPUT = (errno.ENOSPC, errno.EIO)  # without a file's name
SYSTEM = {
    errno.EACCES: "use the account that it belongs to, or sudo",
    errno.EPERM: "use the account that it belongs to, or sudo",
    errno.EROFS: "choose a place that can be written",
    errno.ENOSPC: "free some space, and run the same again",
    errno.EDQUOT: "free some space, and run the same again",
    errno.ENOTDIR: "choose a place that is a folder",
    errno.EISDIR: "name a file in it",
    errno.ENOENT: "look at the path, and make its folder",
}


def ended(arguments: Sequence[str]) -> int:
    """Run the command line. Returns the exit code; only what ends the process itself is raised."""
    try:
        code = app(arguments)
    except CycloptsError as error:
        return _wrong_use(error, arguments)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_OUTPUT and not error.filename:
            raise
        return _failed(error)
    return code if isinstance(code, int) else int(Exit.DONE)


def _wrong_use(error: CycloptsError, arguments: Sequence[str]) -> int:
    error.verbose = False
    text = str(error).partition(" Available commands:")[0].strip()
    speak.talk(f"error: {text[:1].lower()}{text[1:].removesuffix('.')}", "red")
    chain = " ".join(["disco", *(error.command_chain or ())])
    speak.talk(f"  fix: {chain} --help")
    return int(Exit.WRONG_USE)


def _failed(error: Exception) -> int:
    from disco.cli.render import complain

    known = foreseen(error) or of_the_system(error)
    return complain(known) if known else _mistake(error)


def foreseen(error: BaseException) -> DiscoError | Several | StackProblems | None:
    """The error, or those of a group, if all of it was foreseen."""
    if isinstance(error, (DiscoError, Several, StackProblems)):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    inner = [foreseen(e) for e in error.exceptions]
    found = [e for one in inner if isinstance(one, Several) for e in one.errors]
    found += [one for one in inner if isinstance(one, DiscoError)]
    return Several(found) if found and all(inner) else None


def of_the_system(error: Exception) -> DiscoError | None:
    """A file that can't be read or written, whoever asked for it."""
    if not isinstance(error, OSError) or error.errno not in SYSTEM:
        return None
    return DiscoError(
        "a file or folder can't be used",
        where=str(error.filename or ""),
        why=(error.strerror or str(error)).lower(),
        fix=SYSTEM[error.errno],
    )


def _mistake(error: Exception) -> int:
    """One line for the person, everything else in a file that only they can read."""
    report = _written(error)
    what = " ".join(str(error).split())[:200]
    speak.talk(f"error: a mistake in DISCO itself: {type(error).__name__}: {what}", "red")
    speak.talk(f"  fix: please report it with {report} (no secret that was opened is in it)")
    return int(Exit.FAILED)


def _written(error: Exception) -> str:
    about = f"disco {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    text = opened.veiled(about + "".join(traceback.format_exception(error)))
    name = f"mistake-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    for folder in (opened.folder(), Path(tempfile.gettempdir())):
        try:
            if folder:
                return _write(folder / name, text)
        except OSError:
            continue
    sys.stderr.write(text)
    return "the lines above"


def _write(path: Path, text: str) -> str:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return str(path)
