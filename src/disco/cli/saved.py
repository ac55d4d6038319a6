"""`disco show`, `disco sign`, and the files of plans: kept whole, signed, and verified."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from disco.cli import planned, speak
from disco.engine import saved as saving
from disco.engine.errors import DiscoError, Exit, WrongUse
from disco.engine.narrow import Aim
from disco.engine.plan import Plan
from disco.engine.saved import Saved

NAMESPACE = "disco-plan"
SIGN_S = 120  # a person may have to touch a key
VERIFY_S = 20


def write(plan: Plan, layer: str | None, aim: Aim, out: Path) -> None:
    """There whole or not at all."""
    new = out.with_name(f".{out.name}.new")
    try:
        new.write_text(saving.dump(plan, layer, aim), encoding="utf-8")
        new.replace(out)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise DiscoError(
            "the plan can't be written", where=str(out), why=error.strerror or str(error)
        ) from None


def read(path: Path) -> Saved:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse("the plan can't be read", where=str(path), why=str(error)) from None
    return saving.read(text, str(path))


def show(path: Path, form: str, commands: bool) -> int:
    """A kept plan for people. Exit code 0."""
    kept = read(path)
    speak.data(planned.drawn(kept.plan, form, commands, kept.digest))
    return int(Exit.DONE)


def sign(path: Path, key: Path) -> int:
    """Sign a plan with an SSH key, or with that of an agent when `key` is a public one."""
    read(path)
    signature = signature_of(path)
    signature.unlink(missing_ok=True)
    _keygen("sign", "-f", str(key.expanduser()), str(path), within_s=SIGN_S, fix="see why")
    speak.talk(f"signed: {signature}", "green")
    return int(Exit.DONE)


def signature_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def verify(path: Path, signers: Path) -> str:
    """Who signed the plan. Raises DiscoError when it is nobody in `signers`.

    signers: a file of allowed signers, as `ssh-keygen(1)` describes it: `NAME KEYTYPE KEY` a line.
    """
    signature = signature_of(path)
    for needed in (signature, signers):
        if not needed.exists():
            raise WrongUse(
                f"{needed} is not there",
                where=str(path),
                fix=f"disco sign {path}" if needed == signature else "",
            )
    wrong = "have the plan signed by somebody whose key is in that file"
    found = _keygen(
        "find-principals", "-f", str(signers), "-s", str(signature), within_s=VERIFY_S, fix=wrong
    )
    who = found.splitlines()[0].strip()
    _keygen(
        "verify",
        *("-f", str(signers), "-I", who, "-s", str(signature)),
        within_s=VERIFY_S,
        fix=wrong,
        stdin=path,
    )
    return who


def _keygen(
    verb: str, *words: str, within_s: float, fix: str, stdin: Path = Path(os.devnull)
) -> str:
    """Run `ssh-keygen -Y`; what it printed. Raises DiscoError with its reason."""
    namespace = () if verb == "find-principals" else ("-n", NAMESPACE)
    command = ["ssh-keygen", "-Y", verb, *namespace, *words]
    try:
        with stdin.open("rb") as content:
            done = subprocess.run(
                command, stdin=content, capture_output=True, text=True, timeout=within_s
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiscoError(f"ssh-keygen -Y {verb} did not end well", why=str(error)) from None
    if done.returncode:
        raise DiscoError(
            "the plan was not signed" if verb == "sign" else "the plan's signature does not hold",
            why=(done.stderr or done.stdout).strip()[-300:],
            fix=fix,
        )
    return done.stdout
