"""How keys are leased and moved: each step is refused unless the one before it is certain.

What a pod had signed is read from the message that its first container leaves when it ends: the
pod of that name, on that volume, of the revision without the key. A StatefulSet makes it only when
the pod before it is gone, as its kubelet said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from disco.chains import lease as leases
from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed, told
from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.kube.access import Cluster
from disco.kube.errors import translated
from disco.kube.reader import Kube
from disco.layers.akash import signer_pods as pods
from disco.layers.akash.signer import (
    KEYS,
    BeginSigning,
    EndLease,
    HandOver,
    Key,
    LeaseAction,
    NoteSigned,
    TakeLease,
    TakeOver,
    claim_of,
    pod_of,
    set_of,
)
from disco.store.store import Store

Json = dict[str, Any]
SYSTEM = "/api/v1/namespaces/kube-system"
GONE_S = 180.0
STATE = "/state/state.json"
HOME_STATE = "/home/chain/data/priv_validator_state.json"


async def cluster_uid(kube: Kube, cluster: Cluster) -> str:
    """What no other cluster has: the UID of its first namespace."""
    found: str = (await kube.get(cluster, SYSTEM))["metadata"]["uid"]
    return found


def known(store: Store, action: LeaseAction, key: Key, *, ask: bool) -> Lease:
    """A key's lease as the whole team has it. ask: the remote, now. Raises DiscoError."""
    address = store.lookup(key.address)
    content = store.shelf.agreed(leases.path_of(address), ask=ask)
    return leases.read(content, address, action.chain_id)


def lease_executors(kube: Kube, store: Store) -> dict[str, Any]:
    """By the kind of action that each carries out."""
    do = LeaseExecutors(kube, store)
    return {
        TakeLease.kind: do.take,
        HandOver.kind: do.hand_over,
        BeginSigning.kind: do.begin,
        EndLease.kind: do.end,
        TakeOver.kind: do.take_over,
        NoteSigned.kind: do.note,
    }


class LeaseExecutors:
    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube, self._store = kube, store

    async def take(self, action: TakeLease, report: Report) -> None:
        uid = await cluster_uid(self._kube, action.cluster)
        found = self._known(action)
        taken = {k: leases.taken(lease, self._store.stack, uid, HOME) for k, lease in found.items()}
        for key, lease in taken.items():
            if action.place == HOME and lease.place == SIGNER:
                raise not_handed_back(action.chain, [key.validator])
        self._write(action, taken, found, f"Lease {action.many} of {action.chain}")

    async def hand_over(self, action: HandOver, report: Report) -> None:
        """The Secret with the keys goes first: no pod can get them again."""
        mine = await self._mine(action)
        await self._delete(action.cluster, f"/api/v1/namespaces/{action.chain}/secrets/{KEYS}")
        left = [k for k, lease in mine.items() if lease.place == HOME]
        signed: dict[Key, Signed] = {}

        async def test() -> str:
            missing = []
            for key in left:
                seen = await self._left_behind(action, key)
                if isinstance(seen, Signed):
                    signed[key] = seen
                else:
                    missing.append(f"{key.validator} {seen}")
            return "; ".join(missing)

        what = f"the validators of {action.chain} run without their keys"
        await self._until(action, what, test, GONE_S, report)
        moved = {k: mine[k].moved(SIGNER, signed[k]) for k in left}
        self._write(action, moved, mine, f"Hand {action.many} of {action.chain} to signers")

    async def _until(
        self,
        action: LeaseAction,
        what: str,
        test: Callable[[], Awaitable[str]],
        within_s: float,
        report: Report,
    ) -> None:
        """What no waiting mends ends it at once."""
        final: list[DiscoError] = []

        async def once() -> str:
            try:
                return await test()
            except DiscoError as error:
                if error.retry is not Retry.NEVER:
                    raise
                final.append(error)
                return ""

        await self._kube.until(
            action.cluster, what, once, within_s, lambda note: report(note, None)
        )
        if final:
            raise final[0]

    async def _left_behind(self, action: HandOver, key: Key) -> Signed | str:
        """What the validator's volume says that it had signed, once nothing signs from there any
        more; until then, what is still missing. Raises DiscoError for another key's volume."""

        def misfit(spec: Json) -> str:
            return "" if pods.has_no_key(spec) else "is still declared with its key"

        name, lease = key.validator, known(self._store, action, key, ask=False)
        pod = await self._newest(action, HOME, name, f"home-{name}", misfit)
        if isinstance(pod, str):
            return pod
        message = pods.ended(pod, "home")
        if message is None:
            return pods.failed(pod, "home") or "has not laid its home yet"
        return pods.signed_at_home(message, lease.address, name, lease.signed)

    async def _newest(
        self,
        action: LeaseAction,
        owner: str,
        name: str,
        claim: str,
        misfit: Callable[[Json], str],
    ) -> Json | str:
        """The pod of a StatefulSet's newest revision, once the one before it is gone, as its
        kubelet said; until then, what is still missing. Nobody else has its volume then.

        claim: of that volume. misfit: what is wrong with a pod, by its spec.
        """
        place = f"/api/v1/namespaces/{action.chain}/pods"
        workload = await self._kube.find(
            action.cluster, f"/apis/apps/v1/namespaces/{action.chain}/statefulsets/{owner}"
        )
        if workload is None:
            return "has no StatefulSet yet"
        why = pods.seen_by_controller(workload) or misfit(workload["spec"]["template"]["spec"])
        if why:
            return why
        found: list[Json] = (await self._kube.get(action.cluster, place))["items"]
        pod = next((p for p in found if p["metadata"]["name"] == name), None)
        if others := pods.holders(found, name, claim):
            return f"has other pods on its volume: {', '.join(others)}"
        if pod is None:
            return "has no pod yet"
        if pod["metadata"].get("deletionTimestamp"):
            return "is still ending"
        if not pods.is_of(pod, workload):
            # One that is not ready is not replaced, nor are those after it.
            await self._delete(action.cluster, f"{place}/{name}")
            return "is being replaced"
        return misfit(pod["spec"]) or pod

    async def _told(
        self, action: LeaseAction, pod: Json, container: str, lease: Lease
    ) -> str | None:
        """What the first container of a pod said under this lease; None until it has. Raises
        DiscoError where it refused."""
        message, refused = pods.ended(pod, container), pods.failed(pod, container)
        fence, name = told(message or refused).get("fence"), pod["metadata"]["name"]
        if fence == str(lease.fence):
            if refused:
                raise shut(action, name, container, refused.partition("refused=")[2])
            return message
        if message is not None or refused:
            # It was told of an older lease: it is told of this one when it starts.
            path = f"/api/v1/namespaces/{action.chain}/pods/{name}"
            await self._delete(action.cluster, path)
        return None

    async def begin(self, action: BeginSigning, report: Report) -> None:
        mine = await self._mine(action)

        async def test() -> str:
            missing = []
            for index, (key, lease) in enumerate(mine.items()):
                if lease.place != SIGNER:
                    raise not_handed_over(action, key)
                if why := await self._not_laid(action, index, lease):
                    missing.append(f"{pod_of(index)} {why}")
            return "; ".join(missing)

        what = f"the signers of {action.chain} have what was signed"
        await self._until(action, what, test, action.within_s, report)
        begun = {k: leases.begun(lease) for k, lease in mine.items()}
        self._write(action, begun, mine, f"Begin to sign for {action.chain} by signers")

    async def _not_laid(self, action: BeginSigning, number: int, lease: Lease) -> str:
        def misfit(spec: Json) -> str:
            return "is still declared without its key" if pods.has_left(spec) else ""

        pod = await self._newest(action, set_of(number), pod_of(number), claim_of(number), misfit)
        if isinstance(pod, str):
            return pod
        passed = await self._told(action, pod, "gate", lease)
        return "has not passed its gate" if passed is None else ""

    async def end(self, action: EndLease, report: Report) -> None:
        """Only what is this stack's; a lease that another has is left alone."""
        found = self._known(action)
        mine = {k: lease for k, lease in found.items() if lease.stack == self._store.stack}
        if action.ground_goes and not action.keeps:
            over = {k: leases.going(lease) for k, lease in mine.items()}
        elif not action.ground_goes:
            await self._until(
                action,
                f"the pods of {action.chain} are gone",
                lambda: self._left(action),
                GONE_S,
                report,
            )
            over = {k: leases.ended(lease, action.keeps) for k, lease in mine.items()}
        else:
            over = {}
        self._write(action, over, found, f"End the lease of {action.many} of {action.chain}")

    async def _left(self, action: EndLease) -> str:
        """The pods that may sign still, or nothing."""
        path = f"/api/v1/namespaces/{action.chain}/pods"
        signing = {k.validator for k in action.keys}
        signing |= {pod_of(i) for i in range(len(action.keys))}
        found = (await self._kube.get(action.cluster, path))["items"]
        left = sorted({p["metadata"]["name"] for p in found} & signing)
        return f"{', '.join(left)} still there" if left else ""

    async def take_over(self, action: TakeOver, report: Report) -> None:
        uid = await cluster_uid(self._kube, action.cluster)
        found = self._known(action)
        running = {
            key: by
            for index, (key, lease) in enumerate(found.items())
            if lease.cluster == uid and (by := await self._signing(action, key, index))
        }
        if len(running) == len(found):
            raise DiscoError(
                f"no key is taken over: {', '.join(running.values())} run with them",
                where=action.cluster.name,
                why="what signs now would sign beside the new one",
                fix=f"stop the one that is lost: kubectl -n {action.chain} scale statefulset "
                "NAME --replicas 0",
            )
        for key, by in running.items():
            report(f"{key.validator} is left as it is: {by} signs", None)
        above = Signed(action.height)
        over = {
            k: leases.taken_over(lease, self._store.stack, uid, above, action.why)
            for k, lease in found.items()
            if k not in running
        }
        message = f"Take {action.many} of {action.chain} over: {action.why}"
        self._write(action, over, found, message)

    async def note(self, action: NoteSigned, report: Report) -> None:
        mine = await self._mine(action)
        noted = {
            key: leases.noted(lease, await self._signed_by_now(action, key, index, lease))
            for index, (key, lease) in enumerate(mine.items())
        }
        self._write(action, noted, mine, f"Note what {action.many} of {action.chain} have signed")

    async def _signed_by_now(
        self, action: LeaseAction, key: Key, index: int, lease: Lease
    ) -> Signed:
        name, container, file = (
            (pod_of(index), "tmkms", STATE)
            if lease.place == SIGNER
            else (key.validator, "node", HOME_STATE)
        )
        text = await self._kube.run_in(
            action.cluster, f"{action.chain}/{name}", container, ["cat", file]
        )
        return pods.of_file(text, f"{action.chain}/{name}", lease.signed)

    async def _signing(self, action: LeaseAction, key: Key, index: int) -> str:
        """The pod in this cluster that may sign with it at this moment, or nothing."""
        for name in (pod_of(index), key.validator):
            path = f"/api/v1/namespaces/{action.chain}/pods/{name}"
            pod = await self._kube.find(action.cluster, path)
            statuses = (pod or {}).get("status", {}).get("containerStatuses", ())
            runs = any("running" in s.get("state", {}) for s in statuses)
            without = pods.has_left if name == pod_of(index) else pods.has_no_key
            if pod and runs and not without(pod["spec"]):
                return name
        return ""

    def _known(self, action: LeaseAction) -> dict[Key, Lease]:
        return {k: known(self._store, action, k, ask=True) for k in action.keys}

    async def _mine(self, action: LeaseAction) -> dict[Key, Lease]:
        """The leases, all of them this cluster's. Raises DiscoError."""
        uid = await cluster_uid(self._kube, action.cluster)
        found = self._known(action)
        for lease in found.values():
            if (lease.stack, lease.cluster) != (self._store.stack, uid):
                raise leases.refused(lease, self._store.stack, uid)
        return found

    def _write(
        self,
        action: LeaseAction,
        to: Mapping[Key, Lease],
        was: Mapping[Key, Lease],
        message: str,
    ) -> None:
        """One commit, shared by compare and swap: DiscoError where somebody else was first."""
        files: dict[str, bytes | None] = {}
        for key, lease in to.items():
            if lease != was[key]:
                files |= leases.files(lease, self._store.stack, action.chain, key.validator)
        if files:
            self._store.shelf.write(message, files=files)

    async def _delete(self, cluster: Cluster, path: str) -> None:
        with translated(cluster, f"delete {path}"):
            answer = await self._kube.http(cluster).delete(path)
            if answer.status_code != 404:
                answer.raise_for_status()


def not_handed_back(chain: str, validators: Sequence[str]) -> DiscoError:
    return DiscoError(
        f"the keys of {', '.join(validators)} are with their signers still",
        where=f"chains.{chain}.signer",
        why="what a signer signs is on its own volume alone; a validator that knew less of it "
        "would sign twice",
        fix="plan and apply again, which takes them back first",
    )


def not_handed_over(action: LeaseAction, key: Key) -> DiscoError:
    return DiscoError(
        f"the key of {key.validator} was not handed to its signer",
        where=action.chain,
        why=f"its lease says that it is with its {HOME}",
        fix="plan and apply again",
    )


def shut(action: LeaseAction, pod: str, container: str, why: str) -> DiscoError:
    """container: the gate, which is the pod's first."""
    return DiscoError(
        f"the gate of {pod} refuses to let it sign",
        where=f"{action.chain}/{pod}",
        why=why,
        fix=f"it says what to do: kubectl -n {action.chain} logs {pod} -c {container}",
        retry=Retry.NEVER,
    )
