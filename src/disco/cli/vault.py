"""`disco vault`: keep what the vault holds, and put it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from disco.cli import human, speak
from disco.cli.changing import Way, agree, change
from disco.cli.wiring import Session, open_stack
from disco.engine.component import Layer
from disco.engine.errors import Exit, WrongUse
from disco.engine.plan import Look, Part, Plan
from disco.layers.platform import vault_snapshot
from disco.layers.platform.vault import Vault


async def snapshot(file: Path, to: Path) -> int:
    """Keep all that it holds in a file."""
    async with open_stack(file) as session:
        vault = await _vault(session)
        with speak.doing("asking the vault"):
            taken = await vault_snapshot.take(
                session.kube, vault.kubernetes.cluster, session.store, to
            )
    size = human.size(len(taken.content))
    speak.talk(f"{to} has what the vault held at {taken.at} ({size}), and its keys.", "green")
    speak.talk("It is sealed for whoever may read vault/init; disco vault restore puts it back.")
    return int(Exit.DONE)


async def restore(file: Path, path: Path, yes: bool, allow_destroy: bool) -> int:
    """Make the vault what it was when a snapshot was taken."""
    confirm = agree(yes, "Put it back?", allow_destroy)
    return await change(file, "vault restore", _Back("platform", path=path), confirm, 1)


@dataclass(frozen=True)
class _Back(Way):
    path: Path = Path()

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        found = vault_snapshot.opened(session.store, self.path)
        steps = tuple(vault_snapshot.steps(vault, found, self.path))
        lost = tuple(d for s in steps for a in s.actions for d in a.destroys)
        part = Part(vault.name, Layer.PLATFORM, steps, (), loses=lost)
        return Plan(session.loaded.name, (part,), narrowed=True), {}


async def _vault(session: Session) -> Vault:
    components = await session.components()
    found = next((c for c in components.values() if isinstance(c, Vault)), None)
    if found is None:
        raise WrongUse("the stack has no vault", where=str(session.loaded.path))
    return found
