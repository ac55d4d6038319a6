from __future__ import annotations

from disco.engine.action import to_data
from disco.engine.secret import SecretRef
from disco.nspawn.actions import (
    BootHost,
    MakeHost,
    MakeNetwork,
    RemoveHost,
    RemoveNetwork,
    StopHost,
)
from disco.nspawn.executors import executors
from disco.nspawn.machine import Machine, Network

NETWORK = Network("0a1b2c3d", "10.88.210.0/24", "/state/hosts")
HOST = Machine(NETWORK, "h1", "10.88.210.11")
KEY = "servers/h1-host-key"
MAKE = MakeHost(
    HOST,
    "/cache/base",
    SecretRef(KEY, "private"),
    SecretRef(KEY, "public"),
    (SecretRef("servers/login", "public"),),
)
ALL = (
    MakeNetwork(NETWORK),
    MAKE,
    BootHost(HOST),
    StopHost(HOST),
    RemoveHost(HOST),
    RemoveNetwork(NETWORK),
)


def test_every_kind_has_an_executor_and_no_executor_is_without_a_kind() -> None:
    assert {action.kind for action in ALL} == set(executors(lambda ref: ""))


def test_a_plan_holds_references_to_the_keys_never_the_keys() -> None:
    data = to_data(MAKE)
    assert data["private"] == "${secret:servers/h1-host-key#private}"
    assert data["authorized"] == ["${secret:servers/login#public}"]


def test_only_removing_a_host_destroys_and_it_names_the_host() -> None:
    destroying = [action for action in ALL if action.destroys]
    assert [type(action) for action in destroying] == [RemoveHost]
    assert "h1" in destroying[0].destroys[0]


def test_each_action_reads_in_plain_words_and_as_a_plain_command() -> None:
    for action in ALL:
        assert (
            "h1" in action.describe()
            or "10.88.210.0/24" in action.describe()
            or (NETWORK.bridge in action.describe())
        )
        assert action.command().split()[0] in {"ip", "cp", "pkill", "rm"}


def test_another_limit_is_another_action() -> None:
    limited = Machine(NETWORK, "h1", "10.88.210.11", memory_mb=2048, cpus=1.5)
    assert BootHost(limited).digest != BootHost(HOST).digest
    assert BootHost(limited).identity == BootHost(HOST).identity
