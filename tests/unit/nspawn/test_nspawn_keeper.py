"""The real keeper, holding a shell script in nspawn's place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from disco.nspawn import launch, running
from disco.nspawn.machine import Machine, Network

REBOOT_ONCE = 'if [ -e "$0.again" ]; then exec sleep 60; fi; touch "$0.again"; exit 133'


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(Network("0a1b2c3d", "10.88.210.0/24", str(tmp_path)), "h1", "10.88.210.11")
    machine.folder.mkdir()
    yield machine
    now = running.read(machine)
    for pid in (now.keeper, now.nspawn) if now else ():
        if now and (now.has_keeper or now.has_nspawn):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def hold(host: Machine, script: str, grace_s: float = 20.0, shell: str = "/bin/sh") -> None:
    """Start its keeper, with the lock handed over."""
    path = host.folder / "script"
    path.write_text(script)
    orders = {
        "argv": [shell, str(path)],
        "env": {"PATH": launch.PATH},
        "groups": [],
        "running": str(host.running),
        "grace_s": grace_s,
    }
    host.orders.write_text(json.dumps(orders))
    lock = running.try_lock(host.folder)
    assert lock is not None
    argv, env = launch.keeper_argv(host, lock), launch.keeper_env()
    with host.console.open("wb") as log:
        done = subprocess.run(argv, pass_fds=(lock,), env=env, stdout=log, stderr=log, timeout=10)
    os.close(lock)
    assert done.returncode == 0, host.console.read_text()


def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, "gave up waiting"
        time.sleep(0.01)


def now(host: Machine) -> running.Running:
    until(lambda: running.read(host))
    seen = running.read(host)
    assert seen is not None
    return seen


def is_free(host: Machine) -> bool:
    lock = running.try_lock(host.folder)
    if lock is not None:
        os.close(lock)
    return lock is not None


def test_a_reboot_starts_the_host_again_and_counts(host: Machine) -> None:
    hold(host, REBOOT_ONCE)
    until(lambda: now(host).boot == 2)
    assert now(host).is_whole


def test_any_other_end_is_the_end(host: Machine) -> None:
    hold(host, "exit 7")
    until(lambda: now(host).ended is not None)
    assert (now(host).ended, now(host).boot) == (7, 1)
    until(lambda: is_free(host))


def test_sigterm_is_passed_on_and_a_reboot_in_answer_is_not_followed(host: Machine) -> None:
    hold(host, 'trap "exit 133" TERM; touch "$0.ready"; while :; do sleep 0.05; done')
    until(lambda: (host.folder / "script.ready").exists())
    os.kill(now(host).keeper, signal.SIGTERM)
    until(lambda: now(host).ended is not None)
    assert (now(host).ended, now(host).boot) == (133, 1)


def test_a_host_that_ignores_the_poweroff_is_ended_after_the_grace(host: Machine) -> None:
    hold(host, 'trap "" TERM; touch "$0.ready"; while :; do sleep 0.05; done', grace_s=0.3)
    until(lambda: (host.folder / "script.ready").exists())
    os.kill(now(host).keeper, signal.SIGTERM)
    until(lambda: now(host).stopping)
    assert not now(host).is_whole
    until(lambda: now(host).ended is not None)
    assert now(host).ended == -signal.SIGKILL


def test_a_killed_nspawn_ends_its_keeper(host: Machine) -> None:
    hold(host, "exec sleep 60")
    os.kill(now(host).nspawn, signal.SIGKILL)
    until(lambda: not now(host).has_keeper)
    assert now(host).ended == -signal.SIGKILL


def test_the_lock_is_the_keepers_alone(host: Machine) -> None:
    hold(host, "exec sleep 60")
    assert now(host).is_whole
    assert not is_free(host)
    os.kill(now(host).keeper, signal.SIGKILL)
    until(lambda: is_free(host))
    assert now(host).has_nspawn
    assert not now(host).is_whole


def test_it_survives_its_starter_and_stays_small(host: Machine) -> None:
    hold(host, "exec sleep 60")
    status = Path(f"/proc/{now(host).keeper}/status").read_text()
    resident_kb = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kb < 12_000
    assert os.getsid(now(host).keeper) != os.getsid(0)


def test_a_program_that_cannot_be_started_is_reported(host: Machine) -> None:
    hold(host, "", shell="/no/such/program")
    until(lambda: now(host).ended is not None)
    assert now(host).ended == 127
    assert "can't start /no/such/program" in host.console.read_text()
