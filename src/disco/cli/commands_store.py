"""Names and flags of the commands about who may know what: team, secrets, store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from disco.cli.app import STACK, TEAM, File, Json, Yes, app, flag

Name = Annotated[str, Parameter(help="COMPONENT/NAME of a secret of the stack.")]
Field = Annotated[str, Parameter(help="Which field of it.")]
OwnKeys = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--key",
        negative="",
        show_default=False,
        help="Your SSH private key, or the public half of one that an agent has, or an age "
        "identity; again for others. Without it: $DISCO_IDENTITY, or ~/.ssh/id_ed25519.",
    ),
]
Keys = Annotated[
    tuple[str, ...],
    Parameter(
        name="--key",
        negative="",
        help="An SSH public key or age recipient, or a file that has it; again for others.",
    ),
]
Kind = Literal["password", "hex", "mnemonic", "ssh-key", "age"]
AsJson = Annotated[bool, flag("--json", help="All fields, as JSON.")]

team = App(name="team", group=TEAM, help="Who may read and change what the stack keeps.")
secrets = App(name="secrets", group=TEAM, help="What the stack keeps secret.")
store = App(name="store", group=TEAM, help="The repository that the team shares it in.")
for part in (team, secrets, store):
    app.command(part)


@team.command
def init(*, remote: str, team: str, name: str, key: OwnKeys = (), file: File = STACK) -> int:
    """Begin a team's store, with what the stack has kept for itself until now.

    Parameters
    ----------
    remote
        Of an empty git repository: a folder, SSH, HTTPS, or whatever git can push to.
    team
        Its name.
    name
        Yours: its first admin.
    """
    from disco.cli import team as module

    return module.init(file, team, name, remote, key)


@team.command
def add(
    name: str,
    /,
    *,
    key: Keys,
    role: Literal["reader", "operator", "admin"] = "operator",
    file: File = STACK,
) -> int:
    """Add a member, or give one other keys or another role.

    Parameters
    ----------
    name
        The member's.
    role
        A reader opens secrets, an operator changes them too, an admin the team too.
    """
    from disco.cli import team as module
    from disco.store.team.roles import Role

    return module.add(file, name, key, Role(role))


@team.command
def remove(name: str, /, *, yes: Yes = False, file: File = STACK) -> int:
    """Take a member out, and name every secret that has to be changed.

    Parameters
    ----------
    name
        The member's.
    """
    from disco.cli import team as module

    return module.remove(file, name, yes)


@team.command
def access(pattern: str, /, *names: str, file: File = STACK) -> int:
    """Say who may read the secrets that fit a pattern; nobody named: everybody again.

    Parameters
    ----------
    pattern
        Of STACK/COMPONENT/NAME, as `production/*`.
    names
        Members.
    """
    from disco.cli import team as module

    return module.access(file, pattern, names)


@team.command(name="rotate")
def rotate_keys(*, key: OwnKeys, file: File = STACK) -> int:
    """Take other keys for yourself."""
    from disco.cli import team as module

    return module.rotate(file, key)


@team.command(name="list")
def list_members(*, file: File = STACK, json: Json = False) -> int:
    """List members, roles and keys."""
    from disco.cli import team as module

    return module.list_all(file, json)


@team.command
def verify(*, file: File = STACK, json: Json = False) -> int:
    """Verify every commit and the recipients of every secret, from the first commit."""
    from disco.cli import team as module

    return module.verify(file, json)


@secrets.command(name="list")
def list_secrets(
    *,
    owed: Annotated[bool, flag("--owed", help="Only those that somebody who left could read.")] = (
        False
    ),
    fields: Annotated[bool, flag("--fields", help="With the names of their fields.")] = False,
    file: File = STACK,
    json: Json = False,
) -> int:
    """List names; never a value."""
    from disco.cli import secrets as module

    return module.list_all(file, json, owed, fields)


@secrets.command(name="set")
def set_secret(
    name: Name, field: Field = "value", /, *, json: AsJson = False, file: File = STACK
) -> int:
    """Set a field to what comes by stdin, or is typed."""
    from disco.cli import secrets as module

    return module.set_one(file, name, field, json)


@secrets.command(name="get")
def get_secret(
    name: Name, field: Field = "", /, *, json: AsJson = False, file: File = STACK
) -> int:
    """Print a value."""
    from disco.cli import secrets as module

    return module.get(file, name, field, json)


@secrets.command(name="edit")
def edit_secret(name: Name, /, *, file: File = STACK) -> int:
    """Edit the fields in $EDITOR; the text is in memory only."""
    from disco.cli import secrets as module

    return module.edit(file, name)


@secrets.command
def generate(
    name: Name,
    /,
    *,
    kind: Annotated[Kind, Parameter(help="What is made.")] = "password",
    file: File = STACK,
) -> int:
    """Make a random secret."""
    from disco.cli import secrets as module

    return module.generate(file, name, kind, again=False)


@secrets.command(name="rotate")
def rotate_secret(
    name: Name,
    /,
    *,
    kind: Annotated[Kind | None, Parameter(help="Make a random one; else it is asked for.")] = None,
    file: File = STACK,
) -> int:
    """Give a secret another value."""
    from disco.cli import secrets as module

    return module.rotate(file, name, kind)


@secrets.command
def accept(
    name: Name,
    /,
    *,
    because: Annotated[str, Parameter(help="Why it may stay as it is; kept in the history.")],
    file: File = STACK,
) -> int:
    """Owe a secret no more that somebody who left could read, though its value stays."""
    from disco.cli import secrets as module

    return module.accept(file, name, because)


@secrets.command
def forget(name: Name, /, *, yes: Yes = False, file: File = STACK) -> int:
    """Remove a secret."""
    from disco.cli import secrets as module

    return module.forget(file, name, yes)


@secrets.command(name="history")
def history_of(name: Name, /, *, file: File = STACK, json: Json = False) -> int:
    """Show who changed a secret, and when."""
    from disco.cli import secrets as module

    return module.history(file, name, json)


@secrets.command
def who_can_read(name: Name, /, *, file: File = STACK, json: Json = False) -> int:
    """Show which members can read a secret."""
    from disco.cli import secrets as module

    return module.who_can_read(file, name, json)


@store.command
def join(remote: str, /, *, root: str, key: OwnKeys = (), file: File = STACK) -> int:
    """Take part in a team's store.

    Parameters
    ----------
    remote
        Where it is.
    root
        Its first commit, as a member told you: `disco store status`.
    """
    from disco.cli import store as module

    return module.join(file, remote, root, key)


@store.command(name="status")
def status_of(*, file: File = STACK, json: Json = False) -> int:
    """Show where it is, how far it is shared, who you are in it, who has the lock."""
    from disco.cli import store as module

    return module.status(file, json)


@store.command
def sync(
    *,
    mine: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="Of this secret, keep what is here."),
    ] = (),
    theirs: Annotated[
        tuple[str, ...],
        Parameter(negative="", show_default=False, help="Of this secret, take what is there."),
    ] = (),
    file: File = STACK,
    json: Json = False,
) -> int:
    """Take what the others did, and give them what was done here."""
    from disco.cli import store as module

    return module.sync(file, mine, theirs, json)


@store.command
def log(*, file: File = STACK, json: Json = False) -> int:
    """Show every change, verified, with the member who signed it."""
    from disco.cli import store as module

    return module.log(file, json)


@store.command
def lock(
    *,
    breaks: Annotated[
        bool, flag("--break", help="Take it from a run that is dead; signed with your key.")
    ] = False,
    yes: Yes = False,
    file: File = STACK,
    json: Json = False,
) -> int:
    """Show who had the stack's lock, and who broke it."""
    from disco.cli import store as module

    return module.lock(file, breaks, yes, json)


@store.command
def export(to: Path, /, *, key: Keys, file: File = STACK) -> int:
    """Write all secrets that you may read into one age file.

    Parameters
    ----------
    to
        The file.
    """
    from disco.cli import store as module

    return module.export(file, to, key)


@store.command(name="import")
def take_in(
    source: Literal["env", "sops", "kubernetes"],
    what: str,
    /,
    *,
    under: Annotated[str, Parameter(show_default=False, help="Begin their names with this.")] = "",
    file: File = STACK,
) -> int:
    """Take secrets from elsewhere, in one commit.

    Parameters
    ----------
    source
        A .env file, a sops file, or Secrets of the stack's cluster.
    what
        The file; or NAMESPACE, or NAMESPACE/NAME.
    """
    from disco.cli import store as module

    return module.take_in(file, source, what, under)
