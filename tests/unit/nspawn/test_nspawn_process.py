from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from disco.nspawn import process, running, sweep
from disco.nspawn.machine import Machine, Network


def test_a_process_is_the_one_noted_only_with_its_start_time() -> None:
    mine = process.started(os.getpid())
    assert process.is_alive(os.getpid(), mine)
    assert not process.is_alive(os.getpid(), str(int(mine) + 1))
    assert not process.is_alive(os.getpid(), "")


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started(child.pid) == ""
    child.wait()


def test_a_name_with_spaces_and_parentheses_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([odd, "60"])
    try:
        assert int(process.started(child.pid)) > 0
    finally:
        child.kill()
        child.wait()


def test_processes_that_this_namespace_cannot_see_are_never_signalled(tmp_path: Path) -> None:
    """The kernel lists them as 0, and kill(0) would end the caller's own group."""
    (tmp_path / "cgroup.procs").write_text("0\n4194000\n")
    assert sweep.processes(str(tmp_path)) == {4194000}


def test_a_note_from_before_a_restart_of_this_machine_is_not_believed(tmp_path: Path) -> None:
    host = Machine(Network("0a1b2c3d", "10.88.210.0/24", str(tmp_path)), "h1", "10.88.210.11")
    host.folder.mkdir()
    pid, start = os.getpid(), process.started(os.getpid())
    note = (
        f'{{"machine_boot": "%s", "keeper": {pid}, "keeper_started": "{start}", '
        f'"nspawn": {pid}, "nspawn_started": "{start}", "boot": 1}}'
    )
    host.running.write_text(note % process.machine_boot())
    now = running.read(host)
    assert now is not None
    assert now.is_whole
    host.running.write_text(note % "another-boot")
    assert running.read(host) is None


@pytest.mark.parametrize("module", ["pydantic", "asyncio", "asyncssh", "pathlib", "typing"])
def test_the_keeper_loads_little(module: str) -> None:
    source = Path(process.__file__).parents[2]
    code = f"import sys, disco.nspawn.keeper; sys.exit({module!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(source)})
    assert done.returncode == 0
