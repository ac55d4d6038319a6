"""A Go module that can't be used as it is published: files that upstream makes for its releases are
not in it, or it has no setting for what has to be another way. Go lets nobody write into its cache
of modules, so a changed copy takes its place.

The copy lies beside the go.mod that names it, by a relative path: Go writes that path into the
program, which has to be the same everywhere.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from disco.artifacts.catalogue import Changed
from disco.engine.errors import DiscoError

COPY = "source"
MAIN = "main"


def fetching(changed: Changed) -> list[str]:
    """The command that fetches the module, if it is not there yet."""
    return ["go", "mod", "download", changed.module]


def where(changed: Changed) -> list[str]:
    """The command that says where the module is, once it was fetched."""
    return ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", changed.module]


def replacing(changed: Changed) -> list[str]:
    """The command that puts the copy in the module's place, in the folder beside it."""
    return ["go", "mod", "edit", f"-replace={changed.module}=./{COPY}"]


def copied(changed: Changed, folder: Path, module: Path, out: Path) -> Path:
    """A copy of a folder with go.mod below `out`, and beside it the module as it has to be.

    Raises DiscoError where what is to be replaced does not stand there once.
    """
    main = out / MAIN
    shutil.copytree(folder, main)
    # Go's cache is for reading alone; the copy is written to and deleted.
    shutil.copytree(module, main / COPY, copy_function=shutil.copyfile)
    for path in (main / COPY, *(main / COPY).rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    for name, content in changed.files.items():
        file = main / COPY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for words in changed.replaces:
        file = main / COPY / words.file
        text = file.read_text()
        if (times := text.count(words.old)) != 1:
            raise DiscoError(
                f"what is to be replaced stands there {times} times",
                where=f"{changed.module}: {words.file}",
                why=f"{words.old!r} was to become {words.new!r}",
                fix="upstream changed it: see to `changes` of this module in catalogue.yaml",
            )
        file.write_text(text.replace(words.old, words.new))
    return main


def plain(changed: Changed, folder: str) -> str:
    """The same as plain commands, which end in the folder of the copy."""
    asked = f"{shlex.join(fetching(changed))} && {shlex.join(where(changed))}"
    commands = [
        f'source="$(cd {folder} && {asked})"',
        f"cp -r {folder} {MAIN}",
        f'cp -r --no-preserve=mode "$source" {MAIN}/{COPY}',
        f"cd {MAIN}",
    ]
    for name, content in changed.files.items():
        file = shlex.quote(f"{COPY}/{name}")
        commands.append(f"mkdir -p $(dirname {file})")
        commands.append(f"printf %s {shlex.quote(content)} > {file}")
    for words in changed.replaces:
        file = shlex.quote(f"{COPY}/{words.file}")
        pattern = re.sub(r"([.*])", r"\\\1", words.old)
        commands.append(f"sed -i {shlex.quote(f's/{pattern}/{words.new}/')} {file}")
    commands.append(shlex.join(replacing(changed)))
    return " && ".join(commands)
