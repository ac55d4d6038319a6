"""What can be asked of hosts without changing anything."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from disco.engine.errors import DiscoError, NotThere
from disco.engine.secret import Lookup
from disco.hosts import facts
from disco.hosts.actions import HostAction
from disco.hosts.facts import Facts
from disco.hosts.host import Host
from disco.hosts.sessions import Result, Sessions

NOT_THERE = ("was lost or refused", "no answer in time", "SSH failed")


def is_away(error: DiscoError) -> bool:
    """Whether an error says that a host does not answer; a wrong key says something else."""
    return any(text in error.what for text in NOT_THERE)


class Hosts:
    """The reader of hosts. Every question is one round trip."""

    def __init__(self, sessions: Sessions, lookup: Lookup) -> None:
        self.sessions = sessions
        self._lookup = lookup

    async def facts(self, host: Host) -> Facts:
        asked = time.time()
        text = await self.sessions.must(host, ["sh", "-s"], facts.SCRIPT.encode(), within_s=20)
        return facts.parse(host.name, text, asked)

    async def answers(self, host: Host) -> bool:
        """Whether SSH answers. A wrong key is an error, not a no."""
        try:
            return (await self.sessions.run(host, ["true"], within_s=10)).ok
        except DiscoError as error:
            if is_away(error):
                return False
            raise

    async def satisfied(self, host: Host, actions: Iterable[HostAction]) -> frozenset[str]:
        """The identities of those actions that would change nothing."""
        asked = [(a.identity, p) for a in actions if (p := self._probe(a))]
        if not asked:
            return frozenset()
        lines = [f"if {probe}; then echo {i}; fi" for i, (_, probe) in enumerate(asked)]
        script = "exec 2>/dev/null\n" + "\n".join(lines) + "\ntrue\n"
        out = await self.sessions.must(host, ["sh", "-s"], script.encode(), within_s=60)
        return frozenset(asked[int(n)][0] for n in out.split())

    def _probe(self, action: HostAction) -> str:
        try:
            return action.probe(self._lookup)
        except NotThere:  # what it needs is made later, so it can't be done yet
            return ""

    async def run(self, host: Host, argv: Sequence[str], within_s: float = 30.0) -> Result:
        """A program that only reads."""
        return await self.sessions.run(host, argv, within_s=within_s)
