"""`disco vault`: see whether it is open, open and close it, keep what it holds, put it back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disco.cli import human, measured, speak
from disco.cli.app import of
from disco.cli.changing import Told, Way, agree, change
from disco.cli.wiring import Session, open_stack
from disco.engine.action import Action
from disco.engine.apply import Outcome
from disco.engine.component import Layer, Step
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.engine.plan import Look, Part, Plan
from disco.engine.secret import SecretRef
from disco.layers.platform import (
    measures,
    quorum,
    vault_access,
    vault_pods,
    vault_shares,
    vault_snapshot,
)
from disco.layers.platform.openbao import NAME, OpenBao, SealStatus
from disco.layers.platform.quorum import KEYS, OWN_KEY, refuse_strangers
from disco.layers.platform.vault import Vault
from disco.layers.platform.vault_break_glass import (
    Attempt,
    BreakGlass,
    EndBreakGlass,
    alive,
)
from disco.layers.platform.vault_rekey import RekeyVault, Rotation
from disco.layers.platform.vault_rotate import RotateVault, term
from disco.layers.platform.vault_shares import GiveShare, SealVault
from disco.store.team.repository import Repository

GLASS = "break-glass"
HEADINGS = ["pod", "state", "leads", "shares", "given", "version"]
SeenPods = dict[int, SealStatus | DiscoError]


async def status(file: Path, as_json: bool) -> int:
    """Print each pod's state. Red when one is sealed, or does not answer."""
    async with open_stack(file) as session:
        vault = await _vault(session)
        bao = _bao(session, vault)
        with speak.doing("asking the vault"):
            found = await vault_pods.statuses(bao, vault.spec.replicas)
            leader = await vault_pods.leader(bao, found)
        holders = quorum.kept(session.store, _threshold(found))
    if as_json:
        pods = [_data(pod, seal, leader) for pod, seal in found.items()]
        speak.data_json({"pods": pods, "holders": list(holders.holders)})
    else:
        speak.data_table(HEADINGS, [_row(pod, seal, leader) for pod, seal in found.items()])
        for line in vault_shares.told(found, holders):
            speak.talk(line, "yellow")
        if holders.holders:
            speak.talk(f"It takes {holders} to unseal it.")
    return int(Exit.DONE if _is_open(found) else Exit.RED)


async def unseal(file: Path) -> int:
    """Give my share, and tell what is still needed."""

    async def after(session: Session, told: Told) -> int:
        vault = await _vault(session)
        _seal_anew(session)
        bao = _bao(session, vault)
        found = await vault_pods.statuses(bao, vault.spec.replicas)
        lines = vault_shares.told(found, quorum.kept(session.store), _me(session))
        for line in lines:
            speak.talk(line, "yellow")
        if not lines:
            speak.talk(f"The vault is unsealed. What waits for it: disco apply{of(file)}", "green")
        return int(Exit.DONE)

    confirm = agree(True, "")
    return await change(file, "vault unseal", _Give("platform"), confirm, 1, after)


async def seal(file: Path, yes: bool) -> int:
    """Close it: nobody gets a secret from it until it is unsealed."""
    confirm = agree(yes, "Seal it?")
    return await change(file, "vault seal", _Seal("platform"), confirm, 1)


async def rekey(file: Path) -> int:
    """Give my share for new ones, for those whom the file names now."""

    async def after(session: Session, told: Told) -> int:
        vault, store = await _vault(session), session.store
        bao = _bao(session, vault)
        token = await vault_access.token(bao, store.fields(KEYS))
        now, _ = await Rotation.read(bao, token)
        if now.started and now.verifies:
            speak.talk("Its new shares are being proven: disco vault rekey, by one more.", "yellow")
        elif now.started:
            others = [n for n in quorum.kept(store).holders if n != _me(session)]
            needed = f"{now.required - now.given} of {', '.join(others)}"
            speak.talk(
                f"{now.given} of {now.required} given; still needed: {needed}, by disco vault "
                "rekey. Until then the old shares open it.",
                "yellow",
            )
        else:
            speak.talk(f"The vault has new shares: {vault.spec.quorum}.", "green")
        return int(Exit.DONE)

    return await change(file, "vault rekey", _Rekey("platform"), agree(True, ""), 1, after)


async def rotate(file: Path, yes: bool) -> int:
    """Have it write with another key from now on."""

    async def after(session: Session, told: Told) -> int:
        vault = await _vault(session)
        now = await term(_bao(session, vault), await _token(session, vault))
        speak.talk(
            f"The vault writes with its key number {now}; it reads with the others.", "green"
        )
        return int(Exit.DONE)

    confirm = agree(yes, "Rotate its key?")
    return await change(file, "vault rotate", _Rotate("platform"), confirm, 1, after)


async def break_glass(file: Path, reason: str, to: Path | None, yes: bool) -> int:
    """Give my share for a token that may do everything, for a quarter of an hour."""
    if not reason.strip() or to is None:
        raise WrongUse("say why, and where the token goes", fix="--reason TEXT --to FILE")

    async def after(session: Session, told: Told) -> int:
        vault = await _vault(session)
        bao = _bao(session, vault)
        token = await _token(session, vault)
        now = await Attempt.read(bao, token)
        if now.started:
            others = [n for n in quorum.kept(session.store).holders if n != _me(session)]
            speak.talk(
                f"{now.given} of {now.required} given; still needed: {now.required - now.given} of "
                f"{', '.join(others)}, by disco vault break-glass. The last one gets the token.",
                "yellow",
            )
            return int(Exit.DONE)
        for one in await alive(bao, token):
            speak.talk(f"The token in {to} {one}.", "yellow")
        speak.talk(f"It is seen by everybody until it ends: disco check --only vault/{GLASS}.")
        speak.talk(f"When you are done: disco vault {GLASS} --end{of(file)}; rm {to}")
        return int(Exit.DONE)

    confirm = agree(yes, "Break the glass?")
    way = _BreakGlass("platform", reason=reason, to=to)
    what = f"vault {GLASS} --reason {shlex.quote(reason)} --to {shlex.quote(str(to))}"
    return await change(file, what, way, confirm, 1, after)


async def end_glass(file: Path) -> int:
    """Revoke every token that may do everything."""
    way = _EndGlass("platform")
    return await change(file, f"vault {GLASS} --end", way, agree(True, ""), 1)


async def snapshot(file: Path, to: Path) -> int:
    """Keep all that it holds in a file."""
    async with open_stack(file) as session:
        vault = await _vault(session)
        with speak.doing("asking the vault"):
            taken = await vault_snapshot.take(
                session.kube, vault.kubernetes.cluster, session.store, to
            )
        await measured.backup(session, measures.VAULT)
    size = human.size(len(taken.content))
    speak.talk(f"{to} has what the vault held at {taken.at} ({size}), and its keys.", "green")
    speak.talk("It is sealed for whoever may read vault/init; disco vault restore puts it back.")
    return int(Exit.DONE)


async def restore(file: Path, path: Path, yes: bool, allow_destroy: bool) -> int:
    """Make the vault what it was when a snapshot was taken."""
    confirm = agree(yes, "Put it back?", allow_destroy)
    what = f"vault restore {shlex.quote(str(path))}"
    return await change(file, what, _Back("platform", path=path), confirm, 1)


@dataclass(frozen=True)
class _Give(Way):
    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault, store = await _vault(session), session.store
        opens_itself = vault.spec.seal or not quorum.kept(store).holders
        if KEYS in store.names() and opens_itself:
            action: Action = vault.opens()[0]
            told = "unseal the vault"
        else:
            action, told = _share(session, vault)
        bao = _bao(session, vault)
        found = await vault_pods.statuses(bao, vault.spec.replicas)
        waits = any(_is_sealed(s) for s in found.values())
        if not waits:
            _refuse_silent(found)
        steps = (Step("share", told, (action,), (), 2),) if waits else ()
        return _plan(session, vault, steps), {}


@dataclass(frozen=True)
class _Rekey(Way):
    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        wanted = vault.spec.quorum
        if not wanted.holders:
            raise WrongUse(
                "the file names no holders",
                where=f"{session.loaded.path}: vault",
                fix="name those who shall have a share: holders, threshold",
            )
        refuse_strangers(session.store, wanted)
        ref, member = _own_share(session, vault)
        action = RekeyVault(vault.kubernetes.cluster, member, ref, wanted)
        step = Step("rekey", f"give {member}'s share for new ones: {wanted}", (action,), (), 2)
        return _plan(session, vault, (step,)), {}


@dataclass(frozen=True)
class _Seal(Way):
    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        if vault.spec.seal:
            kind = vault.spec.seal.kind
            raise WrongUse(
                "the vault can't be kept sealed",
                where=f"{session.loaded.path}: vault.seal",
                why=f"each of its pods is unsealed by {kind} when it starts",
                fix=f"take from it what it asks {kind} with, there",
            )
        cluster, replicas = vault.kubernetes.cluster, vault.spec.replicas
        found = await vault_pods.statuses(_bao(session, vault), replicas)
        opens = quorum.kept(session.store, _threshold(found))
        by = f"{opens} unseal it" if opens.holders else "disco vault unseal or disco apply"
        title = f"seal the vault: no pod gets a secret from it, nor DISCO, until {by}"
        action = SealVault(cluster, replicas)
        open_ = any(isinstance(s, SealStatus) and not s.sealed for s in found.values())
        if not open_:
            _refuse_silent(found)
        steps = (Step("seal", title, (action,), (), 5),) if open_ else ()
        return _plan(session, vault, steps), {}


@dataclass(frozen=True)
class _Rotate(Way):
    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        now = await term(_bao(session, vault), await _token(session, vault))
        title = "have the vault write with another key; what is written stays readable"
        action = RotateVault(vault.kubernetes.cluster, now)
        return _plan(session, vault, (Step("rotate", title, (action,), (), 1),)), {}


@dataclass(frozen=True)
class _BreakGlass(Way):
    reason: str = ""
    to: Path = Path()

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        if self.to.exists():
            raise WrongUse("there is a file already", where=str(self.to), fix="name another one")
        ref, member = _own_share(session, vault)
        to = str(self.to.resolve())
        action = BreakGlass(vault.kubernetes.cluster, member, ref, self.reason, to)
        title = f"give {member}'s share for a token that may do everything: {self.reason}"
        return _plan(session, vault, (Step(GLASS, title, (action,), (), 3),)), {}


@dataclass(frozen=True)
class _EndGlass(Way):
    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        action = EndBreakGlass(vault.kubernetes.cluster)
        title = "revoke every token that may do everything"
        return _plan(session, vault, (Step(f"{GLASS}-ends", title, (action,), (), 1),)), {}


@dataclass(frozen=True)
class _Back(Way):
    path: Path = Path()

    def again(self, what: str, outcome: Outcome) -> str:
        """Once it is put back, what opens it is any apply; the same again would lose what was
        written since."""
        return "apply" if outcome.done else what

    async def plan(self, session: Session) -> tuple[Plan, dict[str, Look]]:
        vault = await _vault(session)
        found = vault_snapshot.opened(session.store, self.path)
        steps = tuple(vault_snapshot.steps(vault, found, self.path))
        return _plan(session, vault, steps), {}


def _bao(session: Session, vault: Vault) -> OpenBao:
    return OpenBao(session.kube, vault.kubernetes.cluster, session.lookup)


def _plan(session: Session, vault: Vault, steps: tuple[Step, ...]) -> Plan:
    lost = tuple(d for s in steps for a in s.actions for d in a.destroys)
    part = Part(vault.name, Layer.PLATFORM, steps, (), loses=lost)
    return Plan(session.loaded.name, (part,), narrowed=True)


async def _token(session: Session, vault: Vault) -> str:
    return await vault_access.token(_bao(session, vault), session.store.fields(KEYS))


def _own_share(session: Session, vault: Vault) -> tuple[SecretRef, str]:
    """What I can give, and whose it is. Raises WrongUse for who has none."""
    if KEYS in session.store.names() and not quorum.kept(session.store).holders:
        return SecretRef(KEYS, OWN_KEY), "the store"
    given, _ = _share(session, vault)
    return given.share, given.member


def _share(session: Session, vault: Vault) -> tuple[GiveShare, str]:
    """What gives my share. Raises WrongUse for who has none."""
    me, kept = _me(session), quorum.kept(session.store)
    if not kept.holders:
        raise WrongUse("the vault has no keys yet", fix="disco apply initialises it")
    if me not in kept.holders:
        raise WrongUse(
            f"{me} has no share of the vault's key",
            where="vault",
            why=f"shares are {', '.join(kept.holders)}'s",
            fix="ask them: disco vault unseal, each on their own machine",
        )
    cluster, replicas = vault.kubernetes.cluster, vault.spec.replicas
    action = GiveShare(cluster, replicas, me, quorum.share(me))
    return action, f"give {me}'s share to the vault"


def _seal_anew(session: Session) -> None:
    """My share for the keys that I have now: nobody else can do it."""
    shelf = session.store.shelf
    if not isinstance(shelf, Repository) or not shelf.is_there:
        return
    secret = f"{session.store.stack}/{quorum.share(shelf.me()).name}"
    if secret in shelf.wrong():
        shelf.write(f"Seal {secret} for other keys", {secret: shelf.content(secret)})


def _me(session: Session) -> str:
    shelf = session.store.shelf
    return shelf.me() if isinstance(shelf, Repository) and shelf.is_there else ""


def _refuse_silent(found: SeenPods) -> None:
    """Raises for a pod that does not answer: nobody knows whether there is something to do."""
    for pod, seal in found.items():
        if isinstance(seal, DiscoError):
            raise DiscoError(
                f"{NAME}-{pod} does not answer",
                where="vault",
                why=str(seal),
                fix="disco status; disco apply puts back what is missing",
            )


def _is_sealed(seal: SealStatus | DiscoError) -> bool:
    return isinstance(seal, SealStatus) and seal.sealed and seal.initialized


def _is_open(found: SeenPods) -> bool:
    return all(isinstance(s, SealStatus) and not s.sealed for s in found.values())


def _threshold(found: SeenPods) -> int:
    return max((s.threshold for s in found.values() if isinstance(s, SealStatus)), default=1)


def _row(pod: int, seal: SealStatus | DiscoError, leader: int | None) -> list[str]:
    if isinstance(seal, DiscoError):
        return [f"{NAME}-{pod}", "does not answer", "", "", "", ""]
    state = "sealed" if seal.sealed else "unsealed"
    return [
        f"{NAME}-{pod}",
        state if seal.initialized else "empty",
        "yes" if pod == leader else "",
        f"{seal.threshold} of {seal.shares}" if seal.initialized else "",
        f"{seal.given} of {seal.threshold}" if seal.sealed and seal.initialized else "",
        seal.version,
    ]


def _data(pod: int, seal: SealStatus | DiscoError, leader: int | None) -> dict[str, Any]:
    name = f"{NAME}-{pod}"
    if isinstance(seal, DiscoError):
        return {"pod": name, "error": seal.why or seal.what}
    return {
        "pod": name,
        "initialized": seal.initialized,
        "sealed": seal.sealed,
        "leads": pod == leader,
        "threshold": seal.threshold,
        "shares": seal.shares,
        "given": seal.given,
        "version": seal.version,
    }


async def _vault(session: Session) -> Vault:
    components = await session.components()
    found = next((c for c in components.values() if isinstance(c, Vault)), None)
    if found is None:
        raise WrongUse("the stack has no vault", where=str(session.loaded.path))
    return found
