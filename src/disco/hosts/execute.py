"""How the host actions are carried out."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from disco.engine.errors import DiscoError
from disco.engine.gate import Report
from disco.engine.secret import Lookup
from disco.hosts.actions import CTR, AwaitHost, Images, Packages, Program, Put, Run, Unit
from disco.hosts.sessions import Sessions

Find = Callable[[str], Path]


APT_S = 300  # somebody else's apt may take so long
APT = f"""set -eu
export DEBIAN_FRONTEND=noninteractive
said=$(mktemp); trap 'rm -f "$said"' EXIT
patiently() {{
  tries={APT_S // 2}
  until "$@" > "$said" 2>&1; do
    tries=$((tries - 1))
    if [ $tries = 0 ] || ! grep -qE 'Could not get lock|lock was locked' "$said"; then
      cat "$said" >&2; exit 1
    fi
    sleep 2
  done
}}
patiently dpkg --configure -a
patiently apt-get -q update
patiently apt-get -q install -y --no-install-recommends "$@"
"""


class HostExecutors:
    """find: the file of an artifact on this machine, by name."""

    def __init__(self, sessions: Sessions, lookup: Lookup, find: Find) -> None:
        self._sessions, self._lookup, self._find = sessions, lookup, find

    async def put(self, action: Put, report: Report) -> None:
        """Written beside the target and renamed over it: nobody ever reads half a file, and where
        there is no room for it nothing stays."""
        folder = str(PurePosixPath(action.path).parent)
        script = (
            f"set -eu; mkdir -p {shlex.quote(folder)}; umask 077; "
            f't={shlex.quote(action.path + ".disco-new")}; trap \'rm -f "$t"\' EXIT; cat > "$t"; '
            f'chmod {action.mode:o} "$t"; sync "$t"; mv -fT "$t" {shlex.quote(action.path)}'
        )
        content = action.content.reveal(self._lookup).encode()
        await self._sessions.must(action.host, ["sh", "-c", script], stdin=content)

    async def program(self, action: Program, report: Report) -> None:
        source = self._find(action.artifact)
        target = shlex.quote(action.target)
        have = await self._sessions.run(action.host, ["test", "-x", action.target])
        if not have.ok:
            await self._sessions.send(
                action.host,
                [
                    "sh",
                    "-c",
                    f"set -eu; mkdir -p {shlex.quote(action.folder)}; t={target}.new; "
                    f'trap \'rm -f "$t"\' EXIT; cat > "$t"; '
                    f'[ "$(sha256sum < "$t")" = "{action.sha256}  -" ] || '
                    '{ echo "arrived damaged" >&2; exit 1; }; '
                    f'chmod 755 "$t"; mv -fT "$t" {target}',
                ],
                source,
                lambda share: report(f"sending {action.artifact}", share),
            )
        links = "; ".join(f"ln -sfn {target} {shlex.quote(n)}" for n in action.names)
        folders = " ".join(shlex.quote(str(PurePosixPath(n).parent)) for n in action.names)
        await self._sessions.must(
            action.host, ["sh", "-c", f"set -eu; mkdir -p {folders}; {links}"]
        )

    async def images(self, action: Images, report: Report) -> None:
        await self._sessions.send(
            action.host,
            [*CTR, "images", "import", "--local", "-"],
            self._find(action.artifact),
            lambda share: report(f"importing {action.artifact}", share),
        )

    async def unit(self, action: Unit, report: Report) -> None:
        stamp, folder = shlex.quote(action.stamp), PurePosixPath(action.stamp).parent
        script = (
            f"set -eu; {'; '.join(action.commands)}; mkdir -p {shlex.quote(str(folder))}; "
            f"echo {shlex.quote(action.config)} > {stamp}.new; mv -f {stamp}.new {stamp}"
        )
        await self._sessions.must(action.host, ["sh", "-c", script], within_s=90)

    async def run(self, action: Run, report: Report) -> None:
        stdin = action.stdin.reveal(self._lookup).encode() if action.stdin else None
        report(f"running {action.argv[0]}", None)
        await self._sessions.must(action.host, action.argv, stdin, action.within_s)

    async def packages(self, action: Packages, report: Report) -> None:
        """What an earlier try left half-installed is finished first; somebody else's apt, as a
        server's own upgrades run it, is waited for."""
        report("apt-get install", None)
        await self._sessions.must(
            action.host, ["sh", "-c", APT, "sh", *action.names], within_s=APT_S + 600
        )

    async def await_host(self, action: AwaitHost, report: Report) -> None:
        """Poll; a host that can't be reached yet is waited for as well."""
        ends = time.monotonic() + action.within_s
        seen = "nothing yet"
        while True:
            try:
                result = await self._sessions.run(
                    action.host, ["sh", "-c", action.test], within_s=10
                )
                if result.ok:
                    return
                seen = (result.err or result.out).strip()[-200:] or f"ended with {result.code}"
            except DiscoError as error:
                if "host key" in error.what:
                    raise
                seen = f"{error.what}: {error.why}"
            if time.monotonic() > ends:
                raise DiscoError(
                    f"gave up after {action.within_s:.0f} s waiting until {action.what}",
                    where=action.host.name,
                    why=f"last seen: {seen}",
                    fix=f"look there: {action.host.ssh()}",
                )
            report(f"waiting until {action.what} ({seen[:60]})", None)
            await asyncio.sleep(0.15)
