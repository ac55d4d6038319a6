"""Programs of this machine that the hosts are made with, and their failures in a person's words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from disco.engine.errors import DiscoError

PACKAGES = {"systemd-nspawn": "systemd-container", "ip": "iproute2"}  # Debian's names
KEPT_CHARACTERS = 600


def install_hint(program: str) -> str:
    return f"install it: apt-get install {PACKAGES.get(program, program)}"


async def run(argv: Sequence[str], stdin: str = "", within_s: float = 30.0) -> str:
    """Its standard output; an error when it fails or takes too long. Never outlives a stop."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal is for us: what runs may end
        )
    except FileNotFoundError:
        raise DiscoError(
            f"the program {argv[0]} is missing on this machine", fix=install_hint(argv[0])
        ) from None
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), within_s)
    except TimeoutError:
        raise DiscoError(
            f"`{' '.join(argv)}` did not end within {within_s:.0f} s",
            fix="see what keeps it, then run again",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise DiscoError(
            f"`{' '.join(argv)}` failed with {process.returncode}",
            why=err.decode(errors="replace").strip()[-KEPT_CHARACTERS:],
            fix="what is half made is swept away by the next run; run again",
        )
    return out.decode(errors="replace")
