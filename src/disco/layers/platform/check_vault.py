"""Is the vault open, does it deliver to whom it should, and to nobody else?

Secrets are compared by their hashes only, and a policy is asked what it allows instead of tried.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from disco.checks.counted import counted, until_green
from disco.checks.releases import release_check
from disco.checks.shared import Once
from disco.engine.check import Answer, Check
from disco.engine.component import World
from disco.engine.errors import DiscoError
from disco.engine.secret import SecretRef
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.platform.openbao import (
    KEYS,
    NAME,
    SETUP,
    OpenBao,
    SealStatus,
    SetUpVault,
    setup_digest,
)
from disco.layers.platform.quorum import OWN_KEY, Quorum, kept
from disco.store.store import Store
from disco.store.team.layout import SHARE

if TYPE_CHECKING:
    from disco.layers.platform.vault import Vault

PROBE = "vault-probe"  # its namespace, its service account, and its role
PROBE_SECRET = SecretRef("vault/probe")
STRANGERS = (f"{PROBE}/default", "default/default")
MAY = {"kv/data/disco/probe": {"read"}, f"kv/data/{SETUP}": {"deny"}, "sys/mounts": {"deny"}}
SHARES_FIX = "as many holders as unseal it: disco vault rekey makes shares for whom the file names"
VOTES_WITHIN_S = 12.0  # a new member votes after ten seconds


def vault_checks(component: Vault, world: World) -> Iterator[Check]:
    kube, store, cluster = world[Kube], world[Store], component.kubernetes.cluster
    bao = OpenBao(kube, cluster)
    pods = [f"{NAME}-{i}" for i in range(component.spec.replicas)]
    declared = component.spec.quorum
    seals = Once(lambda: _seals(bao, len(pods)))

    def root() -> str:
        return store.lookup(SecretRef(KEYS, "root_token"))

    async def ask_initialised() -> Answer:
        faults = {
            pod: s if isinstance(s, str) else "" if s.initialized else "is empty"
            for pod, s in (await seals()).items()
        }
        faults["the store"] = "" if store.has(KEYS) else f"has no {KEYS}"
        if store.has(KEYS) and not kept(store).holders and OWN_KEY not in store.fields(KEYS):
            faults["the store"] = "has no share of its key"
        return counted(faults, "initialised, with the keys in the store", ", ".join(pods))

    async def ask_unsealed() -> Answer:
        faults = {
            pod: s if isinstance(s, str) else "is sealed" if s.sealed else ""
            for pod, s in (await seals()).items()
        }
        return counted(faults, "pods unsealed", ", ".join(pods))

    async def ask_shares() -> Answer:
        told = [s for s in (await seals()).values() if isinstance(s, SealStatus) and s.initialized]
        threshold = told[0].threshold if told else declared.threshold
        made = told[0].shares if told else declared.shares
        return shares(kept(store, threshold), declared, store.owed(), made)

    async def ask_raft() -> Answer:
        found = await bao.call(root(), "GET", "sys/storage/raft/configuration")
        return raft(found["data"]["config"]["servers"], pods)

    async def ask_set_up() -> Answer:
        steps = component.steps(component.nothing())
        declared = next(a for s in steps for a in s.actions if isinstance(a, SetUpVault))
        wanted = setup_digest(declared, store)
        found = str((await bao.read(root(), SETUP) or {}).get("digest", ""))
        told = f"set up as {found[:12] or 'nothing'}"
        return Answer(found == wanted, told if found == wanted else f"{told}, not {wanted[:12]}")

    yield Check(
        "vault/initialised",
        "Is the vault initialised, and does the store have its keys?",
        "disco apply initialises an empty vault; keys of another one belong into the store as "
        f"{KEYS}",
        ask_initialised,
    )
    yield Check(
        "vault/unsealed",
        "Is every pod of the vault unsealed?",
        f"{opens(declared)}; kubectl -n vault logs NAME says why it was sealed",
        ask_unsealed,
    )
    if declared.holders or kept(store).holders:
        yield Check(
            "vault/shares",
            "Has everybody a share of its key whom the file names, and nobody else?",
            SHARES_FIX,
            ask_shares,
        )
    yield Check(
        "vault/raft",
        "Has the vault a leader that clients reach, and do all its pods vote?",
        "kubectl -n vault get pods -L openbao-active: one must be true; kubectl -n vault exec "
        f"{NAME}-0 -- bao operator raft list-peers; disco apply unseals what restarted",
        lambda: until_green(ask_raft, VOTES_WITHIN_S if len(pods) > 1 else 0.0, 1.0),
    )
    yield Check(
        "vault/set-up",
        "Is it set up as declared: logins, roles, policies, secrets?",
        "disco apply sets it up again",
        ask_set_up,
    )
    yield Check(
        "vault/delivered",
        "Did a pod get the very secret that the store has?",
        f"kubectl -n {PROBE} logs deploy/{PROBE} -c fetch; kubectl -n {PROBE} rollout restart "
        f"deploy/{PROBE} fetches it again",
        lambda: _delivered(kube, cluster, store),
    )
    yield Check(
        "vault/login",
        "Can the pod's account log in, and no other account with its role?",
        f"bao read auth/kubernetes/role/{PROBE}: bound_service_account_names and _namespaces must "
        f"be {PROBE}; disco apply sets it up when kv/{SETUP} was deleted",
        lambda: _login(kube, cluster, bao),
        reads_only=False,
    )
    yield Check(
        "vault/policy",
        "May the pod's account read its secret, and nothing else?",
        f"bao policy read {PROBE}: one path, capability read; disco apply sets it up when "
        f"kv/{SETUP} was deleted",
        lambda: _policy(kube, cluster, bao),
        reads_only=False,
    )
    yield release_check("vault", component, world)


def opens(quorum: Quorum) -> str:
    """What unseals it."""
    if not quorum.holders:
        return "disco apply unseals"
    return f"{quorum} unseal it, each with disco vault unseal"


def shares(there: Quorum, declared: Quorum, owed: Mapping[str, str], made: int) -> Answer:
    """there: by the store and the vault. owed: secrets that somebody knows who left. made: shares
    that the vault told."""
    faults = dict.fromkeys(there.holders, "holds a share, and the file does not name it")
    for name in declared.holders:
        faults[name] = "" if name in there.holders else "has no share"
    for secret in owed:
        if secret.startswith(SHARE):
            faults[secret.removeprefix(SHARE)] = "left with a share"
    if made != there.shares:
        faults["the vault"] = f"has made {made} shares, the store has {there.shares}"
    if there.threshold != declared.threshold:
        faults["threshold"] = f"is {there.threshold}, not {declared.threshold}"
    return counted(faults, "hold a share", f"{there} unseal it")


async def _seals(bao: OpenBao, replicas: int) -> dict[str, SealStatus | str]:
    async def one(pod: int) -> SealStatus | str:
        try:
            return await bao.seal_status(pod)
        except DiscoError as error:
            return f"does not answer: {error.why or error.what}"

    found = await asyncio.gather(*(one(i) for i in range(replicas)))
    return {f"{NAME}-{i}": s for i, s in enumerate(found)}


def raft(servers: Sequence[Mapping[str, Any]], pods: Sequence[str]) -> Answer:
    """servers: of `sys/storage/raft/configuration`, as the leader tells it."""
    members = {s["node_id"]: s for s in servers}
    faults = dict.fromkeys(pods, "is no member")
    faults |= {name: "" if s["voter"] else "does not vote" for name, s in members.items()}
    leaders = [name for name, s in members.items() if s["leader"]]
    if len(leaders) != 1:
        faults["leader"] = f"{len(leaders)} instead of one"
    return counted(faults, "members vote", f"leader {', '.join(leaders)}")


async def _delivered(kube: Kube, cluster: Cluster, store: Store) -> Answer:
    wanted = hashlib.sha256(store.lookup(PROBE_SECRET).encode()).hexdigest()
    path = f"/api/v1/namespaces/{PROBE}/pods"
    chosen = f"app.kubernetes.io/name={PROBE}"
    pods = (await kube.get(cluster, path, labelSelector=chosen))["items"]
    names = [p["metadata"]["name"] for p in pods if not p["metadata"].get("deletionTimestamp")]
    return delivered({n: await _log(kube, cluster, f"{path}/{n}/log") for n in names}, wanted)


async def _log(kube: Kube, cluster: Cluster, path: str) -> str:
    with translated(cluster, f"GET {path}"):
        answer = await kube.http(cluster).get(path, params={"container": "prove"})
    return str(answer.text)


def delivered(logs: Mapping[str, str], wanted: str) -> Answer:
    """logs: what each pod printed, the SHA-256 (hex) of what it got."""
    faults = {}
    for name, log in logs.items():
        got = log.split()[0] if log.split() else "nothing"
        faults[name] = "" if got == wanted else f"told {got[:12]}, not {wanted[:12]}"
    return counted(faults, "pods got it", f"SHA-256 {wanted[:12]}…")


async def _login(kube: Kube, cluster: Cluster, bao: OpenBao) -> Answer:
    faults = {f"{PROBE}/{PROBE}": await _let_in(kube, cluster, bao, f"{PROBE}/{PROBE}")}
    for account in STRANGERS:
        refused = await _let_in(kube, cluster, bao, account)
        expected = "permission denied" in refused or "(403)" in refused
        faults[account] = "" if expected else refused or "was let in, and must not be"
    return counted(faults, "accounts treated rightly", f"{PROBE} in, {', '.join(STRANGERS)} out")


async def _let_in(kube: Kube, cluster: Cluster, bao: OpenBao, account: str) -> str:
    """Log in and out again. Empty when that worked, else the refusal."""
    try:
        token = await _token(kube, cluster, bao, account)
    except DiscoError as error:
        return error.why or error.what
    await bao.call(token, "POST", "auth/token/revoke-self")
    return ""


async def _token(kube: Kube, cluster: Cluster, bao: OpenBao, account: str) -> str:
    """A vault token for a service account `namespace/name`; to be revoked."""
    namespace, name = account.split("/")
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    body = {"spec": {"audiences": [NAME], "expirationSeconds": 600}}
    with translated(cluster, f"token for {account}"):
        answer = await kube.http(cluster).post(path, json=body)
        answer.raise_for_status()
    login = {"role": PROBE, "jwt": answer.json()["status"]["token"]}
    found = await bao.call("", "POST", "auth/kubernetes/login", login)
    return str(found["auth"]["client_token"])


async def _policy(kube: Kube, cluster: Cluster, bao: OpenBao) -> Answer:
    token = await _token(kube, cluster, bao, f"{PROBE}/{PROBE}")
    try:
        found = await bao.call(token, "POST", "sys/capabilities-self", {"paths": list(MAY)})
    finally:
        await bao.call(token, "POST", "auth/token/revoke-self")
    return capabilities({path: set(found.get(path, ())) for path in MAY})


def capabilities(found: Mapping[str, set[str]]) -> Answer:
    faults = {}
    for path, may in MAY.items():
        has = found.get(path, set())
        faults[path] = "" if has == may else f"may {', '.join(sorted(has)) or 'nothing known'}"
    return counted(faults, "paths allow what they should", "read of its secret, nothing else")
