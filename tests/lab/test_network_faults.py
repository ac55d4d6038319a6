"""Network and hosts fail in the middle of real runs: the run outlives it, or the next one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from stack import UP_S, LabStack, lab_stack, until
from tools import Tools

from disco.nspawn.machine import Machine, Network

NETWORK = "10.88.216.0/24"
STACK = f"""
name: faulty
servers: {{provider: local, count: 2, network: {NETWORK}}}
kubernetes: {{}}
"""
AWAY_S = 6.0
RELAY = Path(__file__).with_name("relay.py")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with lab_stack(tmp_path_factory.mktemp("faulty"), STACK) as stack:
        yield stack


def machine(stack: LabStack, name: str) -> Machine:
    network = Network(stack.place.id, NETWORK, str(stack.place.hosts))
    return Machine(network, name, NETWORK.replace("0/24", f"1{name[1:]}"))


def pods_of(stack: LabStack, node: str) -> str:
    """What pods the cluster counts on a node, whether it knows the node or not."""
    bound = f"spec.nodeName={node}"
    return Tools(stack).kubectl("get", "pods", "-A", "--field-selector", bound, "-o", "name")


@contextmanager
def during(stack: LabStack, kind: str, part: str, do: Any) -> Iterator[None]:
    """Do something as soon as the journal has the intent of this action."""
    skip, ended = len(stack.journal()), threading.Event()
    done: list[bool] = []

    def watch() -> None:
        while not ended.is_set():
            for r in stack.journal()[skip:]:
                action = r.get("action", "")
                if r["event"] == "intent" and action.startswith(f"{kind} ") and part in action:
                    do()
                    done.append(True)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert done, f"the run never came to {kind} {part}"


DROP = "nft add chain inet lab_cut in '{ type filter hook input priority -300; policy drop; }'"


def cut_off(stack: LabStack, name: str) -> None:
    """Every packet to a host is dropped for some seconds."""
    script = f"nft add table inet lab_cut; {DROP}; sleep {AWAY_S}; nft delete table inet lab_cut"
    stack.must("exec", name, "--", "systemd-run", "-q", "sh", "-c", script)


def ready(stack: LabStack) -> list[str]:
    nodes = json.loads(stack.must("kubectl", "--", "get", "nodes", "-o", "json"))["items"]
    return sorted(
        n["metadata"]["name"]
        for n in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"]["conditions"])
    )


def finished(stack: LabStack) -> None:
    """At most one more run, and all is as declared."""
    stack.must("apply", "--yes", within_s=UP_S)
    assert "Nothing to do" in stack.disco("apply", "--yes").stderr
    until("both nodes are Ready", lambda: ready(stack) == ["h1", "h2"], 60)


def test_a_host_that_reboots_while_it_joins_joins(faulty: LabStack) -> None:
    def reboot() -> None:
        time.sleep(0.5)
        faulty.disco("exec", "h2", "--", "systemctl", "reboot")

    with during(faulty, "run", "h2:join", reboot):
        faulty.disco("apply", "--yes", within_s=UP_S)
    until("h2 answers", lambda: faulty.disco("exec", "h2", "--", "true").returncode == 0, 60)
    finished(faulty)


def test_packets_that_are_lost_for_some_seconds_are_outlived(faulty: LabStack) -> None:
    finished(faulty)
    faulty.must("exec", "h2", "--", "rm", "-rf", "/opt/disco/kube", "/etc/disco/containerd.toml")
    with during(faulty, "put", "h2:/etc/disco/containerd.toml", lambda: cut_off(faulty, "h2")):
        faulty.disco("apply", "--yes", within_s=UP_S)
    finished(faulty)


def test_an_sshd_that_is_restarted_in_the_middle_is_outlived(faulty: LabStack) -> None:
    """Connections that it had are cut; it is away for a moment."""

    def restart() -> None:
        script = "systemctl stop ssh; pkill -x sshd; sleep 1; systemctl start ssh"
        faulty.disco("exec", "h2", "--", "systemd-run", "-q", "sh", "-c", script)

    finished(faulty)
    faulty.must("exec", "h2", "--", "rm", "-rf", "/opt/disco/kube", "/etc/disco/containerd.toml")
    with during(faulty, "put", "h2:/etc/disco/containerd.toml", restart):
        faulty.disco("apply", "--yes", within_s=UP_S)
    until("h2 answers", lambda: faulty.disco("exec", "h2", "--", "true").returncode == 0, 60)
    finished(faulty)


def test_a_full_disk_fails_with_its_name_and_is_no_trouble_once_there_is_room(
    faulty: LabStack,
) -> None:
    """A small file system over the folder of programs: what was there comes back with the room."""
    finished(faulty)
    folder = "/opt/disco"
    faulty.must("exec", "h2", "--", "mount", "-t", "tmpfs", "-o", "size=4m", "lab", folder)
    try:
        failed = faulty.disco("apply", "--yes", within_s=UP_S)
        assert failed.returncode == 1, failed.stderr
        told = failed.stderr
        assert "No space left on device" in told and "h2" in told, told
        assert "Traceback" not in failed.stderr
        assert faulty.must("exec", "h2", "--", "find", folder, "-name", "*.new") == ""
        faulty.must("exec", "h2", "--", "mount", "-o", "remount,size=2g", folder)
        faulty.must("apply", "--yes", within_s=UP_S)
        assert "Nothing to do" in faulty.disco("apply", "--yes").stderr
    finally:
        faulty.must("exec", "h2", "--", "umount", folder)
    finished(faulty)


LATE_S = 0.15
RELAYED = 10_000  # a port's relay listens so much above it


@contextmanager
def far_away(stack: LabStack, name: str, *ports: int) -> Iterator[None]:
    """What comes to these ports of a host from outside arrives late, and so does every answer."""
    inside = ["ip", "netns", "exec", machine(stack, name).netns.name]
    at = machine(stack, name).address
    hook = "type nat hook prerouting priority -110; policy accept;"
    late = "; ".join(f"iifname eth0 tcp dport {p} dnat to {at}:{p + RELAYED}" for p in ports)
    with ExitStack() as undo:
        for port in ports:
            relay = subprocess.Popen(
                [*inside, sys.executable, str(RELAY), str(port + RELAYED), str(port), str(LATE_S)],
                stdout=subprocess.PIPE,
            )
            undo.callback(relay.wait, 10)
            undo.callback(relay.kill)
            assert relay.stdout is not None and relay.stdout.readline() == b"listening\n"
            undo.callback(relay.stdout.close)
        table = f"add table ip lab_far {{ chain late {{ {hook} {late}; }}; }}"
        stack.must("exec", name, "--", "nft", table)
        undo.callback(stack.disco, "exec", name, "--", "nft", "delete table ip lab_far")
        yield


def banner_s(address: str) -> float:
    """How long SSH takes to say its name."""
    begun = time.monotonic()
    with socket.create_connection((address, 22), timeout=10) as connection:
        assert connection.recv(4) == b"SSH-"
    return time.monotonic() - begun


def test_servers_far_away_leave_and_join(faulty: LabStack) -> None:
    """SSH and the API answer 0.3 s later than here, as from another continent."""
    finished(faulty)
    text = faulty.file.read_text()
    address = machine(faulty, "h1").address
    assert banner_s(address) < LATE_S
    with far_away(faulty, "h1", 22, 6443), far_away(faulty, "h2", 22):
        assert LATE_S <= banner_s(address) < 10 * LATE_S
        faulty.must(
            "exec", "h2", "--", "rm", "-rf", "/opt/disco/kube", "/etc/disco/containerd.toml"
        )
        finished(faulty)
        faulty.file.write_text(text.replace("count: 2", "count: 1"))
        try:
            faulty.must("apply", "--yes", "--allow-destroy", within_s=UP_S)
            assert ready(faulty) == ["h1"]
        finally:
            faulty.file.write_text(text)
    with far_away(faulty, "h1", 22, 6443):
        finished(faulty)
        faulty.must("check", "--wait", "60", within_s=240)


def test_a_server_that_left_the_file_leaves_the_cluster_and_this_machine(faulty: LabStack) -> None:
    finished(faulty)
    text = faulty.file.read_text()
    faulty.file.write_text(text.replace("count: 2", "count: 1"))
    try:
        refused = faulty.disco("apply", "--yes")
        assert refused.returncode == 2 and "the local host h2" in refused.stderr
        faulty.must("apply", "--yes", "--allow-destroy", within_s=UP_S)
        assert ready(faulty) == ["h1"]
        assert pods_of(faulty, "h2") == ""
        assert "Nothing to do" in faulty.disco("apply", "--yes").stderr
        assert not machine(faulty, "h2").netns.exists()
    finally:
        faulty.file.write_text(text)
    finished(faulty)
