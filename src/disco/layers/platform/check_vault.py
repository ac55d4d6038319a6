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
from disco.layers.platform import (
    vault_access,
    vault_break_glass,
    vault_certificate,
    vault_keys,
    vault_pki,
    vault_roles,
)
from disco.layers.platform.openbao import (
    KEYS,
    NAME,
    NAMESPACE,
    SETUP,
    OpenBao,
    SealStatus,
    setup_digest,
)
from disco.layers.platform.quorum import OWN_KEY, Quorum, kept
from disco.layers.platform.vault_access import PROBE  # its namespace, account and role
from disco.layers.platform.vault_agent import CONTAINER as AGENT
from disco.layers.platform.vault_agent import FOLDER
from disco.layers.platform.vault_certificate import IN_CLUSTER
from disco.layers.platform.vault_clients import TLS, VaultClient
from disco.store.store import Store
from disco.store.team.layout import SHARE

if TYPE_CHECKING:
    from disco.layers.platform.vault import Vault

PROBE_SECRET = SecretRef("vault/probe")
# Certificates alone: the same file has the key.
SHOW = ["busybox", "sed", "-n", "/BEGIN CERT/,/END CERT/p", f"{FOLDER}/{TLS}"]
STRANGERS = (f"{PROBE}/default", "default/default")
MAY = {"kv/data/disco/probe": {"read"}, f"kv/data/{SETUP}": {"deny"}, "sys/mounts": {"deny"}}
SHARES_FIX = "as many holders as unseal it: disco vault rekey makes shares for whom the file names"
DELIVERED_WITHIN_S = 8.0  # an agent asks every five seconds
VOTES_WITHIN_S = 12.0  # a new member votes after ten seconds


def vault_checks(component: Vault, world: World) -> Iterator[Check]:
    kube, store, cluster = world[Kube], world[Store], component.kubernetes.cluster
    bao = OpenBao(kube, cluster, store.lookup)
    pods = [f"{NAME}-{i}" for i in range(component.spec.replicas)]
    declared = component.spec.quorum
    seals = Once(lambda: _seals(bao, len(pods)))

    async def token() -> str:
        return await vault_access.token(bao, store.fields(KEYS))

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
        found = await bao.call(await token(), "GET", "sys/storage/raft/configuration")
        return raft(found["data"]["config"]["servers"], pods)

    async def ask_access() -> Answer:
        path = f"sys/policies/acl/{vault_access.ROLE}"
        found = (await bao.call(await token(), "GET", path))["data"]["policy"]
        return access(store.fields(KEYS), found)

    async def ask_break_glass() -> Answer:
        return await vault_break_glass.ask(bao, await token(), store)

    async def ask_audit() -> Answer:
        return audited((await bao.call(await token(), "GET", "sys/audit"))["data"])

    async def ask_set_up() -> Answer:
        wanted = setup_digest(component.set_up, store)
        found = str((await bao.read(await token(), SETUP) or {}).get("digest", ""))
        told = f"set up as {found[:12] or 'nothing'}"
        return Answer(found == wanted, told if found == wanted else f"{told}, not {wanted[:12]}")

    async def ask_components() -> Answer:
        own, roles = await token(), component.set_up.roles
        return components(
            {
                **await vault_roles.wrong(bao, own, roles),
                **await vault_keys.wrong(bao, own, component.set_up.keys),
                **await vault_pki.wrong(
                    bao, own, store.lookup, component.set_up.issues, vault_pki.RED_DAYS
                ),
            },
            await vault_roles.strangers(bao, own, roles),
            await vault_roles.others(bao, own, roles),
        )

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
        "vault/certificate",
        "Does every pod show the store's certificate, and is it good for 30 days and longer?",
        "disco apply makes a new one in time, and has the pods take it; they read it from "
        f"kubectl -n {NAMESPACE} get secret {IN_CLUSTER}",
        lambda: vault_certificate.ask(bao, store, len(pods)),
    )
    yield Check(
        "vault/raft",
        "Has the vault a leader that clients reach, and do all its pods vote?",
        "kubectl -n vault get pods -L openbao-active: one must be true; kubectl -n vault exec "
        f"{NAME}-0 -- bao operator raft list-peers; disco apply unseals what restarted",
        lambda: until_green(ask_raft, VOTES_WITHIN_S if len(pods) > 1 else 0.0, 1.0),
    )
    yield Check(
        "vault/access",
        "Is its root token revoked, and may DISCO do what it has to, and no more?",
        f"bao policy read {vault_access.ROLE}; disco apply revokes the root token, and sets the "
        f"policy again when kv/{SETUP} was deleted",
        ask_access,
    )
    yield Check(
        "vault/break-glass",
        "Is there no token that may do everything, and nobody about to get one?",
        "disco vault break-glass --end revokes it; disco history says who asked for it, and the "
        "vault's audit log what was done with it",
        ask_break_glass,
    )
    yield Check(
        "vault/audit",
        "Is every request to the vault written to its pods' logs, without the secrets in it?",
        "the release's configuration has an audit device (file, stdout): disco apply puts it back; "
        f"kubectl -n {NAMESPACE} logs {NAME}-0 shows what it writes",
        ask_audit,
    )
    yield Check(
        "vault/set-up",
        "Is it set up as declared: logins, roles, policies, secrets?",
        "disco apply sets it up again",
        ask_set_up,
    )
    yield Check(
        "vault/components",
        "May each component do in the vault what it declares, as its own account, and no more?",
        "bao policy read NAME; bao read auth/kubernetes/role/NAME; disco apply writes those of "
        "components again, and removes what nobody declares",
        ask_components,
    )
    named = [c for c in component.clients if c.names]
    if named:
        yield Check(
            "vault/certificates",
            "Has every pod that asks for a certificate one that is good for a while yet?",
            f"kubectl -n NAMESPACE logs POD -c {AGENT} says why it got no other one; a pod that is "
            "deleted comes back with one",
            lambda: _certificates(kube, cluster, store, named),
        )
    yield Check(
        "vault/delivered",
        "Did a pod get the very secret that the store has?",
        f"kubectl -n {PROBE} logs deploy/{PROBE} -c vault-agent says why not; disco apply brings "
        "the store's value into the vault",
        lambda: until_green(lambda: _delivered(kube, cluster, store), DELIVERED_WITHIN_S, 1.0),
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


def access(keys: Mapping[str, str], policy: str) -> Answer:
    """keys: fields of the secret with the vault's keys. policy: of DISCO's role, as it is."""
    same = policy.split() == vault_access.POLICY.split()
    faults = {
        "root token": "is not revoked" if vault_access.ROOT in keys else "",
        f"policy {vault_access.ROLE}": "" if same else "is not as DISCO wrote it",
    }
    return counted(faults, "in order", f"role {vault_access.ROLE}, tokens of ten minutes")


def audited(devices: Mapping[str, Mapping[str, Any]]) -> Answer:
    """devices: of `sys/audit`. One has to write to the pod's log, and none may write in plain."""
    faults = {}
    for path, device in devices.items():
        raw = str(device.get("options", {}).get("log_raw", "")).lower()
        faults[path] = "writes secrets as they are" if raw in ("true", "1", "t") else ""
    written = (d.get("options", {}).get("file_path") for d in devices.values())
    if "stdout" not in written:
        faults["stdout"] = "nothing is written to the pods' logs"
    return counted(faults, "audit devices in order", ", ".join(devices))


def components(
    roles: Mapping[str, str], undeclared: Sequence[str], others: Mapping[str, str]
) -> Answer:
    """roles: each, and each key -> how it is otherwise than declared. others: logins that get what
    a component may."""
    faults = {**roles, **dict.fromkeys(undeclared, "is declared by nobody"), **others}
    return counted(faults, "roles as declared", ", ".join(roles))


async def _certificates(
    kube: Kube, cluster: Cluster, store: Store, named: Sequence[VaultClient]
) -> Answer:
    ca, faults, shown = store.fields(vault_pki.CA)["crt"], {}, []
    for client in named:
        path = f"/api/v1/namespaces/{client.namespace}/pods"
        for pod in (await kube.get(cluster, path))["items"]:
            if not _has_agent(pod):
                continue
            name = f"{client.namespace}/{pod['metadata']['name']}"
            try:
                pem = await kube.run_in(cluster, name, AGENT, SHOW)
            except DiscoError as error:
                faults[name] = f"shows none: {error.why or error.what}"
                continue
            faults[name] = vault_pki.certificate_fault(pem, ca, client.names)
            shown.append(pem)
    ends = min((vault_pki.ends(pem) for pem in shown), default="")
    return counted(faults, "certificates in order", f"the first ends at {ends} UTC")


def _has_agent(pod: Mapping[str, Any]) -> bool:
    going = pod["metadata"].get("deletionTimestamp")
    return not going and any(c["name"] == AGENT for c in pod["spec"].get("initContainers", ()))


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
    """logs: what each pod printed, a line with the SHA-256 (hex) of each value that it got."""
    faults = {}
    for name, log in logs.items():
        lines = [line for line in log.splitlines() if line.strip()]
        got = lines[-1].split()[0] if lines else "nothing"
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
