"""`disco secrets`: what the stack keeps, by name. A value comes by stdin, a prompt or an editor,
never by argv, and is shown by `get` alone."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from disco.cli import speak
from disco.cli.stored import commit_data, place_of, repository_of, said, store_of
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.store.store import Store
from disco.store.team import layout
from disco.store.team.repository import Repository

HEADINGS = ["secret", "fields"]
OWED_HEADINGS = ["secret", "why it has to be changed"]
HISTORY_HEADINGS = ["when", "who", "what", "commit"]
MEMORY = Path("/dev/shm")
TMPFS = "tmpfs"
FIELD = "value"
NOT_FOR_YOU = "(not for you)"


def list_all(file: Path, as_json: bool, owed: bool = False, fields: bool = False) -> int:
    """Print names; with their fields each is opened, if I may. Returns the exit code."""
    store = store_of(file)
    if owed:
        return _list_owed(store, as_json)
    names = [n for n in sorted(store.names()) if not layout.is_state(f"{store.stack}/{n}")]
    opened_now = store.all_fields(names) if fields else {}
    found = {n: sorted(opened_now[n]) if n in opened_now else None for n in names}
    if as_json:
        speak.data_json(found if fields else names)
    elif fields and found:
        rows = [[n, NOT_FOR_YOU if f is None else ", ".join(f)] for n, f in found.items()]
        speak.data_table(HEADINGS, rows)
    elif found:
        speak.data_lines([[n] for n in names])
    else:
        speak.talk("No secret yet: `disco plan` shows the steps that make them.")
    return int(Exit.DONE)


def _list_owed(store: Store, as_json: bool) -> int:
    shelf = store.shelf
    owed = shelf.owed() if isinstance(shelf, Repository) and shelf.is_there else {}
    if as_json:
        speak.data_json(owed)
    elif owed:
        speak.data_table(OWED_HEADINGS, [[n, why] for n, why in sorted(owed.items())])
    else:
        speak.talk("None: nobody who left could read what is used.", "green")
    return int(Exit.RED if owed else Exit.DONE)


def set_one(file: Path, name: str, field: str, as_json: bool) -> int:
    """Take a value from stdin or a prompt: one field, or all of them as JSON."""
    store = store_of(file)
    if as_json:
        fields = _fields(sys.stdin.read(), "stdin")
    else:
        before = store.fields(name) if store.has(name) else {}
        fields = {**before, field: _value(f"{name} {field}")}
    store.put(name, fields)
    return _said(f"{name} is set: {', '.join(sorted(fields))}")


def _value(what: str) -> str:
    if not sys.stdin.isatty():
        value = sys.stdin.read().removesuffix("\n")
    else:
        value = getpass.getpass(f"{what}: ")
        if getpass.getpass(f"{what}, again: ") != value:
            raise WrongUse("the two were not the same")
    if not value:
        raise WrongUse("the value is empty", fix="disco secrets forget removes a secret")
    return value


def get(file: Path, name: str, field: str, as_json: bool) -> int:
    """Print a value."""
    store = store_of(file)
    fields = store.fields(name)
    if as_json:
        _out(json.dumps(fields, indent=1, sort_keys=True) + "\n")
        return int(Exit.DONE)
    field = field or (FIELD if FIELD in fields or len(fields) != 1 else next(iter(fields)))
    if field not in fields:
        there = ", ".join(sorted(fields))
        raise WrongUse(f"{name} has no field {field}", why=f"its fields are {there}")
    if sys.stdout.isatty():
        speak.talk("A secret is shown on this terminal, and stays in what it scrolled.", "yellow")
    _out(fields[field] + ("\n" if sys.stdout.isatty() else ""))
    return int(Exit.DONE)


def _out(text: str) -> None:
    """As it is: what DISCO says otherwise is masked."""
    sys.stdout.write(text)
    sys.stdout.flush()


def edit(file: Path, name: str) -> int:
    """Open the fields as JSON in $EDITOR, in a folder in memory that goes when it is closed."""
    store = store_of(file)
    before = store.fields(name) if store.has(name) else {FIELD: ""}
    if not MEMORY.is_dir() or _kind_of(MEMORY) != TMPFS:
        raise DiscoError(
            "there is no file system in memory to edit in",
            where=str(MEMORY),
            fix="disco secrets set takes the value from stdin",
        )
    _remove_left()
    prefix = f"disco-edit-{os.getpid()}-"
    with TemporaryDirectory(prefix=prefix, dir=MEMORY) as folder:
        path = Path(folder) / f"{name.replace('/', '-')}.json"
        path.touch(0o600)
        path.write_text(json.dumps(before, indent=1, sort_keys=True) + "\n")
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        done = subprocess.run([*shlex.split(editor), str(path)], env=_editing(folder))
        if done.returncode != 0:
            raise DiscoError("nothing was changed", why=f"{editor} ended with {done.returncode}")
        after = _fields(path.read_text(), f"what was edited of {name}")
    if after == before:
        return _said("Nothing was changed.")
    store.put(name, after)
    return _said(f"{name} is set: {', '.join(sorted(after))}")


def _editing(folder: str) -> dict[str, str]:
    """Editors keep backups and undo files in their home, or where they are told."""
    return {**os.environ, "TMPDIR": folder, "HOME": folder, "XDG_STATE_HOME": folder}


def _kind_of(path: Path) -> str:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return next((m[2] for m in reversed(list(mounts)) if m[1] == str(path)), "")


def _remove_left() -> None:
    """Folders of editors whose DISCO was killed."""
    for folder in MEMORY.glob("disco-edit-*"):
        pid = folder.name.split("-")[2]
        if not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def generate(file: Path, name: str, kind: str, again: bool) -> int:
    """Make a random secret."""
    store = store_of(file)
    if store.has(name) and not again:
        raise WrongUse(f"there is a secret {name} already", fix=f"disco secrets rotate {name}")
    fields = _made(kind)
    store.put(name, fields)
    return _said(f"{name} is made: {', '.join(sorted(fields))}")


def _made(kind: str) -> dict[str, str]:
    from disco.store import generate as ways  # takes a moment, and is seldom needed

    kinds = {
        "password": lambda: ways.Password(32),
        "hex": lambda: ways.Hex(32),
        "mnemonic": ways.Mnemonic,
        "ssh-key": lambda: ways.SshKey("disco"),
        "age": ways.AgeIdentity,
    }
    made: dict[str, str] = kinds[kind]().make()
    return made


def rotate(file: Path, name: str, kind: str | None) -> int:
    """Give a secret another value: a random one of a kind, or one that a person has."""
    store = store_of(file)
    if not store.has(name):
        raise WrongUse(f"there is no secret {name}", fix=f"disco secrets set {name}")
    if kind:
        return generate(file, name, kind, again=True)
    fields = {field: _value(f"{name} {field}") for field in sorted(store.fields(name))}
    store.put(name, fields)
    return _said(f"{name} is changed: {', '.join(sorted(fields))}")


def accept(file: Path, name: str, because: str) -> int:
    """Owe a secret no more though its value stays: signed, with the reason, in the history."""
    stack, repository = place_of(file).root.name, repository_of(file)
    secret = f"{stack}/{name}"
    if secret not in repository.owed():
        raise WrongUse(f"{name} is not owed", fix="disco secrets list --owed")
    if not because.strip():
        raise WrongUse("it takes a reason", fix="--because TEXT")
    message = f"Accept {secret}: {' '.join(because.split())}"
    repository.write(message, files={layout.owed_of(secret): None})
    return _said(f"{name} is accepted as it is: disco secrets history {name} tells why")


def forget(file: Path, name: str, yes: bool) -> int:
    """Remove a secret; the history keeps it, sealed, for who could read it."""
    store = store_of(file)
    if not store.has(name):
        raise WrongUse(f"there is no secret {name}")
    if not yes and speak.ask(f"Remove the secret {name}? [y/N] ").lower() != "y":
        speak.talk("Nothing was changed.")
        return int(Exit.FAILED)
    store.forget(name)
    return _said(f"{name} is removed")


def history(file: Path, name: str, as_json: bool) -> int:
    """Who changed a secret, when; verified."""
    stack, repository = place_of(file).root.name, repository_of(file)
    paths = {layout.file_of(f"{stack}/{name}"), layout.owed_of(f"{stack}/{name}")}
    commits = repository.log()
    changes = repository.git.changes(c.id for c in commits)
    mine = [c for c in commits if any(e.path in paths for e in changes[c.id])]
    if not mine:
        raise WrongUse(f"there is no secret {name}, and never was")
    if as_json:
        speak.data_json([commit_data(c) for c in mine])
    else:
        told = [[f"{c.at:%Y-%m-%d %H:%M:%S}", c.by, said(c), c.id[:12]] for c in mine]
        speak.data_table(HISTORY_HEADINGS, told)
    return int(Exit.DONE)


def who_can_read(file: Path, name: str, as_json: bool) -> int:
    """Names of members."""
    stack, repository = place_of(file).root.name, repository_of(file)
    names = repository.team().who_can_read(f"{stack}/{name}")
    speak.data_json(list(names)) if as_json else speak.data_lines([[n] for n in names])
    return int(Exit.DONE)


def _fields(text: str, where: str) -> dict[str, str]:
    """Named fields in JSON; an error has nothing of the text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise WrongUse("that is no JSON", where=where, why=why) from None
    if not isinstance(found, dict) or not found:
        raise WrongUse("that is no JSON object with fields", where=where)
    if not all(isinstance(v, str) for v in found.values()):
        raise WrongUse("a field is no text", where=where)
    return found


def _said(text: str) -> int:
    speak.talk(text, "green")
    return int(Exit.DONE)
