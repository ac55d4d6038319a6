"""What a host says of itself is read exactly, and an unreadable answer names the host."""

from __future__ import annotations

import pytest

from disco.engine.errors import DiscoError
from disco.hosts.facts import parse
from disco.hosts.host import Host
from disco.layers.servers.preflight import unfit

ANSWER = """os debian
os_version 12
arch x86_64
kernel 6.1.0
cpus 4
memory_kb 8000000
disk_free_kb 50000000
clock 1000.5
boot_id b
machine_id m
init systemd
uid 0
cgroup 2
caps 000001ffffffffff
swap_kb 0
port 0016
port 192B
"""
HOST = Host("h1", "10.0.0.1")


def test_an_answer_is_read() -> None:
    facts = parse("h1", ANSWER, 1000.0, 1001.0)
    assert facts.ports == {22, 6443}
    assert facts.memory_bytes == 8_000_000 * 1024
    assert facts.clock_offset_s == 0
    assert facts.may_lower_oom_score
    assert facts.root


@pytest.mark.parametrize(("clock", "offset"), [("900.0", -100.0), ("1090.0", 89.0)])
def test_a_wrong_clock_is_measured_against_question_and_answer(clock: str, offset: float) -> None:
    assert parse("h1", ANSWER.replace("1000.5", clock), 1000.0, 1001.0).clock_offset_s == offset


@pytest.mark.parametrize("broken", ["", "os debian\n", ANSWER.replace("cpus 4", "cpus many")])
def test_an_answer_of_another_kind_names_the_host(broken: str) -> None:
    with pytest.raises(DiscoError, match="h1"):
        parse("h1", broken, 0)


def test_a_fit_host_is_fit() -> None:
    free = ANSWER.replace("port 192B\n", "")
    assert list(unfit(HOST, parse("h1", free, 1000.0, 1001.0), "abcd1234")) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("os debian", "os arch"), "arch 12 is not supported"),
        (("os_version 12", "os_version 11"), "debian 11 is not supported"),
        (("arch x86_64", "arch aarch64"), "aarch64"),
        (("init systemd", "init runit"), "init system"),
        (("uid 0", "uid 1000"), "root"),
        (("clock 1000.5", "clock 2000.0"), "clock is +999 s off"),
        (("cpus 4", "cpus 1"), "1 core"),
        (("memory_kb 8000000", "memory_kb 1000000"), "MiB of memory"),
        (("disk_free_kb 50000000", "disk_free_kb 1000000"), "GiB free"),
        (("port 192B", "port 280A"), "port 10250 is taken (kubelet)"),
        (("swap_kb 0", "swap_kb 0\nleft /var/lib/etcd/member"), "an earlier Kubernetes"),
        (("swap_kb 0", "swap_kb 0\nours 99999999"), "another DISCO stack"),
    ],
)
def test_what_makes_a_host_unfit_is_named_with_a_fix(change: tuple[str, str], word: str) -> None:
    free = ANSWER if "192B" in change[0] else ANSWER.replace("port 192B\n", "")
    facts = parse("h1", free.replace(*change), 1000.0, 1001.0)
    errors = list(unfit(HOST, facts, "abcd1234"))
    assert [e for e in errors if word in e.what], [e.what for e in errors]
    assert all(e.fix and "h1" in e.where for e in errors)


def test_our_own_cluster_on_the_host_is_no_reason_to_refuse() -> None:
    ours = ANSWER + "ours abcd1234\nleft /etc/kubernetes/admin.conf\n"
    assert list(unfit(HOST, parse("h1", ours, 1000.0, 1001.0), "abcd1234")) == []
