"""`disco tofu`: OpenTofu with its state in the team's store, sealed and under the stack's lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from disco.artifacts import Artifacts, Lock
from disco.cli import speak
from disco.cli.foreground import attended
from disco.cli.render import complain
from disco.cli.stored import store_of
from disco.cli.wiring import lock_of
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.store.store import Store
from disco.store.team import layout
from disco.tofu import folder as folders
from disco.tofu.backend import Backend, serving

PROGRAM = "tofu"
FIELD = "state"
PRIVATE = 0o077


async def tofu(file: Path, folder: Path, workspace: str, words: Sequence[str]) -> int:
    """Run it there. Returns its exit code; that of a failure when the state could not be shared."""
    if not words:
        raise WrongUse("no command is named", fix=f"disco tofu {folder} -- plan")
    folder = folder.resolve()
    folders.must_keep_it_here(folder)
    if words[0] != "state":
        folders.refuse_what_was_not_kept(folder)
    name = _name(folder, workspace)
    store = store_of(file)
    store.place.open()
    program = _program(file)
    os.umask(PRIVATE)  # of what it writes: plans and logs may hold secrets
    lock = lock_of(store.place, store)
    backend = Backend(State(store, name), lambda: lock.hold(f"tofu {words[0]}"))
    argv = [PROGRAM, f"-chdir={folder}", *words]
    with folders.plain_text_in_memory(folder), serving(backend) as environ:
        code = await attended(program, argv, environ)
    for problem in backend.problems:
        complain(problem)
    return code or (int(Exit.FAILED) if backend.problems else code)


@dataclass
class State:
    """A state as a secret of the stack, in one commit for each version of it."""

    store: Store
    name: str

    def read(self) -> bytes | None:
        if not self.store.has(self.name):
            return None
        return self.store.fields(self.name)[FIELD].encode()

    def write(self, state: bytes) -> None:
        """What could not be shared is kept here, as any change of a secret is: losing it would
        lose track of what was made. Who knew the passwords in it knows them in the next one, too.
        """
        text = state.decode()
        try:
            self.store.put(self.name, {FIELD: text}, pays=False)
        except DiscoError as error:
            anew = Store(self.store.place)
            if not anew.has(self.name) or anew.fields(self.name) != {FIELD: text}:
                raise
            speak.talk(f"The state is kept on this machine alone: {error}", "yellow")

    def remove(self) -> None:
        self.store.forget(self.name)


def _name(folder: Path, workspace: str) -> str:
    word = workspace or folder.name.lower()
    name = f"{PROGRAM}/{word}"
    if not layout.is_name(name) or "/" in word:
        raise WrongUse(
            f"a state can't be kept as {word!r}",
            where=str(folder),
            fix="name it in lower-case words joined by - . and _: --workspace NAME",
        )
    return name


def _program(file: Path) -> Path:
    held = Artifacts(lock=Lock.beside(file)).held(PROGRAM)
    if held is None:
        raise DiscoError(
            "OpenTofu is not on this machine",
            fix="disco artifacts obtain tofu: a release, or a build of some minutes",
        )
    return held.path
