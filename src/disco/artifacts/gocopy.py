"""A Go module that does not compile as it is published: files that upstream makes for its releases
are not in it, and Go lets nobody add to its cache of modules. So a copy with them takes its place.

The copy lies beside the go.mod that names it, by a relative path: Go writes that path into the
program, which has to be the same everywhere.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from disco.artifacts.catalogue import Added

COPY = "source"
MAIN = "main"


def where(added: Added) -> list[str]:
    """The command that fetches the module and says where it is."""
    return ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", added.module]


def replacing(added: Added) -> list[str]:
    """The command that puts the copy in the module's place, in the folder beside it."""
    return ["go", "mod", "edit", f"-replace={added.module}=./{COPY}"]


def copied(added: Added, folder: Path, module: Path, out: Path) -> Path:
    """A copy of a folder with go.mod below `out`, and beside it the module with its files."""
    main = out / MAIN
    shutil.copytree(folder, main)
    # Go's cache is for reading alone; the copy is written to and deleted.
    shutil.copytree(module, main / COPY, copy_function=shutil.copyfile)
    for path in (main / COPY, *(main / COPY).rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    for name, content in added.files.items():
        file = main / COPY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return main


def plain(added: Added, folder: str) -> str:
    """The same as plain commands, which end in the folder of the copy."""
    commands = [
        f'source="$(cd {folder} && {shlex.join(where(added))})"',
        f"cp -r {folder} {MAIN}",
        f'cp -r --no-preserve=mode "$source" {MAIN}/{COPY}',
        f"cd {MAIN}",
    ]
    for name, content in added.files.items():
        file = shlex.quote(f"{COPY}/{name}")
        commands.append(f"mkdir -p $(dirname {file})")
        commands.append(f"printf %s {shlex.quote(content)} > {file}")
    commands.append(shlex.join(replacing(added)))
    return " && ".join(commands)
