"""Names and flags of the commands about what a stack is made of: artifacts, chains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from disco.cli.app import STACK, THINGS, AllowDestroy, File, Json, Yes, app, flag
from disco.cli.commands import run

OfStack = Annotated[
    Path | None,
    Parameter(
        name=["--file", "-f"], help="Only what this stack needs, with its sources and its lock."
    ),
]

artifacts = App(name="artifacts", group=THINGS, help="Programs and images: what is held here.")
chain = App(name="chain", group=THINGS, help="Blockchains that can be run.")
vault = App(name="vault", group=THINGS, help="Open and close the vault; keep what it holds.")
signer = App(name="signer", group=THINGS, help="Where validators' keys may sign.")
for part in (artifacts, chain, vault, signer):
    app.command(part)


@artifacts.command(name="list")
def list_artifacts(*, file: OfStack = None, json: Json = False) -> int:
    """List them: version, licence, sources, what is held here."""
    from disco.cli import artifacts as module

    return module.list_all(file, json)


@artifacts.command
def build(*names: str, file: OfStack = None, yes: Yes = False) -> int:
    """Build what is missing from language and distribution packages.

    Parameters
    ----------
    names
        Artifacts; all when none is named.
    """
    from disco.cli import artifacts as module

    return run(module.build(file, names, yes), "cut off: what was finished is kept")


@artifacts.command
def obtain(*names: str, file: OfStack = None, yes: Yes = False) -> int:
    """Obtain artifacts from the first source that has them: a release, or a build.

    Parameters
    ----------
    names
        Artifacts; all when none is named.
    """
    from disco.cli import artifacts as module

    return run(module.obtain(file, names, yes), "cut off: what was finished is kept")


@artifacts.command
def verify(*names: str, file: OfStack = None, json: Json = False) -> int:
    """Read every byte of what is held, and compare.

    Parameters
    ----------
    names
        Artifacts; all that are held when none is named.
    """
    from disco.cli import artifacts as module

    return run(module.verify(file, names, json))


@artifacts.command
def pin(*names: str, file: File = STACK) -> int:
    """Write figures that upstream publishes to the stack's disco.lock.

    Parameters
    ----------
    names
        Artifacts; all that the stack needs when none is named.
    """
    from disco.cli import artifacts as module

    return run(module.pin(file, names))


@artifacts.command
def clean(
    *,
    modules: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Also sources that a next build would fetch again.",
        ),
    ] = False,
) -> int:
    """Remove old versions, build caches and what killed runs left."""
    from disco.cli import artifacts as module

    return run(module.clean(modules))


@chain.command(name="list")
def list_chains(*, file: OfStack = None, json: Json = False) -> int:
    """List the definitions: those that come with DISCO, of plugins, and of a stack."""
    from disco.cli import chain as module

    return module.list_all(file, json)


@chain.command
def show(name: str, /, *, json: Json = False) -> int:
    """Show one definition.

    Parameters
    ----------
    name
        The chain's name, or the path of its YAML file.
    """
    from disco.cli import chain as module

    return module.show(name, json)


@app.command(group=THINGS)
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script with which a shell completes commands.

    Parameters
    ----------
    shell
        Which one: `disco completion bash > /etc/bash_completion.d/disco`.
    """
    from disco.cli.speak import data

    data(app.generate_completion(shell=shell))
    return 0


@vault.command(name="status")
def vault_status(*, file: File = STACK, json: Json = False) -> int:
    """Tell of each pod of the vault whether it is sealed, and how many shares it was given."""
    from disco.cli import vault as module

    return run(module.status(file, json))


@vault.command
def unseal(*, file: File = STACK) -> int:
    """Give my share of the vault's key to each pod that is sealed.

    It is opened on this machine, and no other one is; when enough holders have done so, the vault
    is unsealed. A vault without holders is unsealed by the key in the store.
    """
    from disco.cli import vault as module

    return run(module.unseal(file))


@vault.command
def seal(*, file: File = STACK, yes: Yes = False) -> int:
    """Seal the vault: nobody gets a secret from it until it is unsealed."""
    from disco.cli import vault as module

    return run(module.seal(file, yes))


@vault.command
def rekey(*, file: File = STACK) -> int:
    """Give my share for new ones, for those whom `vault.holders` names now.

    It takes as many holders of the old shares as it takes to unseal; the last one's run keeps the
    new shares, each sealed for its holder. Until then the old ones open the vault.
    """
    from disco.cli import vault as module

    return run(module.rekey(file))


@vault.command
def rotate(*, file: File = STACK, yes: Yes = False) -> int:
    """Have the vault write with another key from now on.

    What was written before stays readable, and no share changes: `disco vault rekey` is for those.
    """
    from disco.cli import vault as module

    return run(module.rotate(file, yes))


@vault.command(name="break-glass")
def break_glass(
    *,
    reason: Annotated[str, Parameter(show_default=False, help="Why; everybody sees it.")] = "",
    to: Annotated[
        Path | None, Parameter(show_default=False, help="A new file, for the token.")
    ] = None,
    end: Annotated[bool, flag("--end", help="Revoke every such token now.")] = False,
    yes: Yes = False,
    file: File = STACK,
) -> int:
    """Get a token that may do everything in the vault, for a quarter of an hour.

    It takes as many holders as unseal the vault, each with this command; whoever gives the last
    share gets the token. History and audit log have it, and `vault/break-glass` is red meanwhile.
    """
    from disco.cli import vault as module

    return run(module.end_glass(file) if end else module.break_glass(file, reason, to, yes))


@vault.command
def snapshot(*, to: Path, file: File = STACK) -> int:
    """Keep all that the vault holds in a file, with the keys that open it.

    It is sealed for whoever may read the vault's keys in the store.

    Parameters
    ----------
    to
        The file; stock age opens it.
    """
    from disco.cli import vault as module

    return run(module.snapshot(file, to))


@vault.command
def restore(
    snapshot: Path, *, file: File = STACK, yes: Yes = False, allow_destroy: AllowDestroy = False
) -> int:
    """Make the vault what it was when a snapshot was taken, also one that was begun anew since.

    Parameters
    ----------
    snapshot
        The file that `disco vault snapshot` wrote.
    """
    from disco.cli import vault as module

    return run(module.restore(file, snapshot, yes, allow_destroy))


@signer.command(name="status")
def signer_status(chain: str = "", *, file: File = STACK, json: Json = False) -> int:
    """Tell of each validator's key who may sign with it, where, and what it had signed.

    Parameters
    ----------
    chain
        Which one; none where the stack has a single one.
    """
    from disco.cli import signer as module

    return run(module.status(file, chain, json))


@signer.command
def note(chain: str = "", *, file: File = STACK) -> int:
    """Note in the store what the keys have signed by now: nothing begins below it from then on.

    Parameters
    ----------
    chain
        Which one; none where the stack has a single one.
    """
    from disco.cli import signer as module

    return run(module.note(file, chain))


@signer.command
def take(
    chain: str = "",
    *,
    destroyed: str,
    height: int = 0,
    margin: int = 10,
    file: File = STACK,
    yes: Yes = False,
    allow_destroy: AllowDestroy = False,
) -> int:
    """Take the keys over from a signer, a volume or a cluster that is gone for good.

    Nothing is signed up to the highest height that is known, and some blocks more. Where the other
    signer lives after all, both sign, and the validator is slashed: say what became of it.

    Parameters
    ----------
    chain
        Which one; none where the stack has a single one.
    destroyed
        What became of the other signer, for the store's history.
    height
        How high the chain is now, as far as anybody knows.
    margin
        Blocks above that which are not signed either.
    """
    from disco.cli import signer as module

    return run(module.take(file, chain, destroyed, height, margin, yes, allow_destroy))
