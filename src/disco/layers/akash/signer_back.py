"""How keys come back from their signers, in the order that `signer` tells. As on the way there,
each step is refused unless the one before it is certain, and one that may run yet is waited for.
"""

from __future__ import annotations

from typing import Any

from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed
from disco.engine.errors import DiscoError, Retry
from disco.engine.gate import Report
from disco.kube.reader import Kube
from disco.layers.akash import signer_pods as pods
from disco.layers.akash.signer import (
    HandBack,
    Key,
    TakeUp,
    claim_of,
    key_paths,
    pod_of,
    set_of,
    set_path,
)
from disco.layers.akash.signer_executors import GONE_S, Json, LeaseExecutors, not_handed_back
from disco.store.store import Store


def back_executors(kube: Kube, store: Store) -> dict[str, Any]:
    """By the kind of action that each carries out."""
    do = BackExecutors(kube, store)
    return {HandBack.kind: do.hand_back, TakeUp.kind: do.take_up}


class BackExecutors(LeaseExecutors):
    async def hand_back(self, action: HandBack, report: Report) -> None:
        """The Secrets with the keys go first: no signer can get its key again."""
        mine = await self._mine(action)
        for path in key_paths(action.chain, len(action.keys)):
            await self._delete(action.cluster, path)
        signed: dict[Key, Signed] = {}

        async def test() -> str:
            missing = []
            for number, (key, lease) in enumerate(mine.items()):
                if lease.place != SIGNER:
                    continue
                seen = await self._signed_by(action, number, lease)
                if isinstance(seen, Signed):
                    signed[key] = seen
                else:
                    missing.append(f"{pod_of(number)} {seen}")
            return "; ".join(missing)

        what = f"the signers of {action.chain} run without their keys"
        await self._until(action, what, test, GONE_S, report)
        moved = {key: mine[key].moved(HOME, found) for key, found in signed.items()}
        self._write(action, moved, mine, f"Take {action.many} of {action.chain} from signers")

    async def _signed_by(self, action: HandBack, number: int, lease: Lease) -> Signed | str:
        """What the signer's volume says that it had signed, once nothing signs from there any
        more; until then, what is still missing. Raises DiscoError for a volume that is not it."""

        def misfit(spec: Json) -> str:
            return "" if pods.has_left(spec) else "is still declared with its key"

        path = set_path(action.chain, number)
        if await self._kube.find(action.cluster, path) is None:
            return await self._without_set(action, number, lease)
        pod = await self._newest(action, set_of(number), pod_of(number), claim_of(number), misfit)
        if isinstance(pod, str):
            return pod
        message = await self._told(action, pod, "gate", lease)
        if message is None:
            return "has not told what it signed"
        return pods.signed_at_signer(message, lease, pod_of(number))

    async def _without_set(self, action: HandBack, number: int, lease: Lease) -> Signed | str:
        """Of a signer that was not installed yet: it signed nothing."""
        name = pod_of(number)
        if lease.begun == lease.fence:
            raise DiscoError(
                f"there is no StatefulSet {set_of(number)}, whose volume knows what was signed",
                where=f"{action.chain}/{name}",
                why=f"the key signs there under lease {lease.fence}, and somebody deleted it",
                fix="put `signer` back into the stack file and apply; then take it out again",
                retry=Retry.NEVER,
            )
        pod = await self._kube.find(
            action.cluster, f"/api/v1/namespaces/{action.chain}/pods/{name}"
        )
        return Signed() if pod is None else "is there still, without its StatefulSet"

    async def take_up(self, action: TakeUp, report: Report) -> None:
        mine = await self._mine(action)
        away = [k.validator for k, lease in mine.items() if lease.place != HOME]
        if away:
            raise not_handed_back(action.chain, away)

        async def test() -> str:
            found = {k.validator: await self._not_up(action, k, x) for k, x in mine.items()}
            return "; ".join(f"{name} {why}" for name, why in found.items() if why)

        what = f"the validators of {action.chain} have their keys"
        await self._until(action, what, test, action.within_s, report)

    async def _not_up(self, action: TakeUp, key: Key, lease: Lease) -> str:
        def misfit(spec: Json) -> str:
            return "is still declared without its key" if pods.has_no_key(spec) else ""

        name = key.validator
        pod = await self._newest(action, HOME, name, f"home-{name}", misfit)
        if isinstance(pod, str):
            return pod
        laid = await self._told(action, pod, "home", lease)
        return "has not laid what was signed" if laid is None else ""
