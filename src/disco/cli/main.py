"""Entry point: runs a command and turns however it ends into words and an exit code.

Nothing heavy is imported before `main` begins, so that an interruption is caught from the start.
"""

from __future__ import annotations

import gc
import os
import sys

CUT_OFF = 130  # what shells expect after Ctrl-C
# Python looks for garbage at every 700 new objects; most commands make a million, all of them kept.
OBJECTS = 50_000


def main() -> None:
    """Every error that people can do something about ends here, in one form."""
    try:
        gc.set_threshold(OBJECTS)
        code = _command()
    except KeyboardInterrupt:
        code = _say_cut_off()
    sys.exit(code)


def _command() -> int:
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started this
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    os.environ["PATH"] = with_own_programs(os.environ.get("PATH", os.defpath))
    from disco.cli.ending import ended

    code = 0
    try:
        code = ended(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"error: the output can't be written: {error.strerror}\n")
        code = 1
    return code


def with_own_programs(path: str) -> str:
    """PATH with what came with DISCO last: pip, and Go where there is no other."""
    return f"{path}{os.pathsep}{sys.prefix}/bin"


def _say_cut_off() -> int:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no more words about a second one
    try:
        sys.stderr.write("\ncut off\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return CUT_OFF


if __name__ == "__main__":
    main()
