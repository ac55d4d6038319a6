"""What a right stack file gives: typed specs, and where each value came from."""

from __future__ import annotations

import re
import warnings
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stack_sections import SECTIONS, Chain, Etcd, Kubernetes, LocalServers, SshServers, Vault

from disco.stack.load import Loaded, load, load_text
from disco.stack.problem import StackProblems
from disco.stack.section import Section
from thorough import examples

FULL = """\
name: devnet
servers:
  provider: ssh
  hosts:
    - {name: h1, address: 10.0.0.1}
    - name: h2
      address: "${env:SECOND}"
      port: 2222
  labels: {zone: a}
kubernetes:
  version: "1.34"
  pod_subnet: 10.1.0.0/16
  storage: {kind: longhorn, replicas: 2}
  workers: 4
chains:
  akash: &akash
    definition: akash
    validators: 4
  second-one:
    <<: *akash
    validators: 1
prometheus: {retention: 15d}
vault:
"""


def loaded(text: str, **environ: str) -> Loaded:
    return load_text(text, Path("devnet.yaml"), SECTIONS, environ)


def origin(stack: Loaded, *trail: str | int) -> str:
    return str(stack.origins[trail])


def test_a_file_gives_a_spec_per_section_and_per_name_where_there_are_many(tmp_path: Path) -> None:
    (tmp_path / "devnet.yaml").write_text(FULL)
    stack = load(tmp_path / "devnet.yaml", SECTIONS, {"SECOND": "10.0.0.2"})

    assert stack.name == "devnet"
    assert [*stack.specs] == [
        "servers",
        "kubernetes",
        "chains.akash",
        "chains.second-one",
        "prometheus",
        "vault",
    ]
    servers = stack.specs["servers"]
    assert isinstance(servers, SshServers)
    assert [host.address for host in servers.hosts] == ["10.0.0.1", "10.0.0.2"]


def test_a_variant_is_chosen_by_its_tag() -> None:
    stack = loaded("name: a\nservers: {provider: local, count: 3}\n")

    assert stack.specs["servers"] == LocalServers(provider="local", count=3)


def test_an_implied_section_exists_without_its_key_and_others_do_not() -> None:
    assert loaded("name: a\n").specs == {"kubernetes": Kubernetes()}


def test_an_empty_section_means_its_defaults() -> None:
    assert loaded("name: a\nvault:\n").specs["vault"] == Vault()


def test_an_implied_variant_is_meant_where_the_file_does_not_say_which() -> None:
    sections = [Section("servers", LocalServers, implied=True), Section("servers", SshServers)]

    def servers(text: str) -> object:
        return load_text(text, Path("a"), sections, {}).specs["servers"]

    assert servers("name: a\n") == LocalServers(provider="local")
    assert servers("name: a\nservers: {count: 2}\n") == LocalServers(provider="local", count=2)


def test_keys_of_an_anchor_are_merged_and_those_given_here_win() -> None:
    stack = loaded(FULL, SECOND="x")

    assert stack.specs["chains.second-one"] == Chain(definition="akash", validators=1)


def test_a_repeated_anchor_is_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded("name: &x a\nchains: {one: {definition: &x b}}\n")


def test_a_date_and_a_time_stay_text() -> None:
    stack = loaded("name: a\nchains: {one: {definition: 2024-01-01, peers: [12:30:00]}}\n")

    assert stack.specs["chains.one"] == Chain(definition="2024-01-01", peers=["12:30:00"])


def test_each_value_knows_where_it_came_from() -> None:
    stack = loaded(FULL, SECOND="10.0.0.2", DISCO_VAULT__REPLICAS="5")

    assert origin(stack, "name") == "devnet.yaml:1:7"
    assert origin(stack, "servers", "hosts", 0, "name") == "devnet.yaml:5:14"
    assert (
        origin(stack, "servers", "hosts", 1, "address")
        == "devnet.yaml:7:16 with environment SECOND"
    )
    assert origin(stack, "servers", "hosts", 0, "port") == "default"
    assert origin(stack, "kubernetes", "storage", "replicas") == "devnet.yaml:13:39"
    assert origin(stack, "kubernetes", "etcd", "keep") == "default"
    assert origin(stack, "chains", "second-one", "definition") == "devnet.yaml:17:17"
    assert origin(stack, "chains", "second-one", "validators") == "devnet.yaml:21:17"
    assert origin(stack, "vault", "replicas") == "environment DISCO_VAULT__REPLICAS"
    assert origin(stack, "vault", "audit") == "default"


def test_a_reference_alone_is_a_number_and_in_a_text_is_text() -> None:
    text = "name: ${env:WHO}-net\nservers: {provider: local, count: '${env:COUNT}'}\n"
    stack = loaded(text, WHO="my", COUNT="3")

    assert stack.name == "my-net"
    assert stack.specs["servers"] == LocalServers(provider="local", count=3)


@pytest.mark.parametrize(
    "value", ["1.30", "true", "null", "", "0x10", " 7 ", "a #b", "[a", "{a: b}"]
)
def test_text_from_the_environment_stays_as_it_is_where_text_is_expected(value: str) -> None:
    stack = loaded("name: a\nkubernetes: {version: '${env:V}'}\n", V=value)
    assert stack.specs["kubernetes"] == Kubernetes(version=value)

    stack = loaded("name: a\n", DISCO_KUBERNETES__VERSION=value)
    assert stack.specs["kubernetes"] == Kubernetes(version=value)


def test_a_reference_in_the_value_of_another_is_not_followed() -> None:
    stack = loaded("name: a\nkubernetes: {version: '${env:V}'}\n", V="${env:W}", W="no")

    assert stack.specs["kubernetes"] == Kubernetes(version="${env:W}")


def test_the_environment_wins_over_the_file() -> None:
    text = "name: a\nservers: {provider: local, count: 3}\n"
    stack = loaded(text, DISCO_SERVERS__COUNT="7", DISCO_SERVERS__NETWORK="10.9.0.0/24")

    expected = LocalServers(provider="local", count=7, network=IPv4Network("10.9.0.0/24"))
    assert stack.specs["servers"] == expected


def test_the_environment_reaches_names_with_dashes_items_of_lists_and_nested_variables() -> None:
    stack = loaded(
        FULL,
        SECOND="x",
        DISCO_CHAINS__SECOND_ONE__VALIDATORS="9",
        DISCO_SERVERS__HOSTS__1__PORT="23",
        DISCO_KUBERNETES__ETCD__KEEP="0",
        DISCO_SERVERS__LABELS__ZONE="b",
    )
    servers, chain = stack.specs["servers"], stack.specs["chains.second-one"]

    assert isinstance(servers, SshServers)
    assert (servers.hosts[1].port, servers.labels) == (23, {"zone": "b"})
    assert chain == Chain(definition="akash", validators=9)
    assert Kubernetes.model_validate(stack.specs["kubernetes"]).etcd == Etcd(keep=0)


def test_the_environment_gives_lists_and_mappings_as_yaml() -> None:
    hosts = "[{name: h9, address: 10.0.0.9}]"
    stack = loaded(
        "name: a\n",
        DISCO_SERVERS__PROVIDER="ssh",
        DISCO_SERVERS__HOSTS=hosts,
        DISCO_SERVERS__HOSTS__0__PORT="2022",
        DISCO_SERVERS__LABELS="{zone: c}",
    )
    servers = stack.specs["servers"]

    assert isinstance(servers, SshServers)
    assert (servers.hosts[0].name, servers.hosts[0].port) == ("h9", 2022)
    assert servers.labels == {"zone": "c"}
    assert origin(stack, "servers", "hosts", 0, "user") == "default"


def test_the_environment_can_choose_a_variant_and_set_what_only_that_one_has() -> None:
    stack = loaded(
        "name: a\nservers: {provider: local}\n",
        DISCO_SERVERS__HOSTS="[{name: h1, address: h}]",
        DISCO_SERVERS__PROVIDER="ssh",
    )

    assert isinstance(stack.specs["servers"], SshServers)


def test_nothing_of_a_list_that_the_environment_replaces_is_remembered() -> None:
    stack = loaded(FULL, SECOND="x", DISCO_SERVERS__HOSTS="[{name: h9, address: h}]")

    assert origin(stack, "servers", "hosts", 0, "port") == "default"
    assert ("servers", "hosts", 1) not in stack.origins
    name = stack.origins["servers", "hosts", 0, "name"]
    assert str(name) == "environment DISCO_SERVERS__HOSTS"


def test_variables_of_disco_that_nest_nothing_are_left_alone() -> None:
    assert loaded("name: a\n", DISCO_STATE="/x", DISCO_CACHE="/y", DISCO_SERVERS="3").name == "a"


def test_sections_that_nothing_tells_apart_are_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="tells the sections named 'x' apart"):
        load_text("name: a\nx: {}\n", Path("a"), [Section("x", Vault), Section("x", Chain)], {})


MARKS = """: - &a *a [ ] { } ' " # !x ${env: ${env:SET} | > ? <<: yes 1e9 0 -1 .inf %YAML --- ...
@ ~ , é name: servers: 99999999999999999999 "\\ud800" "\\U00110000" \0 \t \r \x85 \x1b \ufeff"""
PIECES = st.sampled_from([*re.split("[ \n]", MARKS), "\n", "  ", "- ", ": ", "? ", "&a ", "*a "])
EDITS = st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), PIECES), max_size=4)


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EDITS)
def test_mutilated_files_load_or_have_problems_and_nothing_else(
    edits: list[tuple[int, int, str]],
) -> None:
    text = FULL
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    try:
        assert loaded(text, SET="[a, 'b", SECOND="x").origins
    except StackProblems as wrong:
        assert wrong.problems
        assert all(str(p).isprintable() for p in wrong.problems)


VALUES = st.recursive(
    st.sampled_from(["0", "x", "''", "~", "true", "1.5", "'${env:SET}'", "-.inf", "'3'"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["kind", "name", "a", "'0'"]), inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
KEYS = {
    "servers": ["provider", "hosts", "labels", "count", "network"],
    "kubernetes": ["storage", "etcd", "workers", "pod_subnet", "cni", "version"],
    "chains": ["one", "akash", "Two"],
    "vault": ["token", "audit", "replicas"],
}


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([(s, k) for s, keys in KEYS.items() for k in keys]), VALUES, st.booleans())
def test_any_value_anywhere_loads_or_has_problems_and_nothing_else(
    place: tuple[str, str], value: str, outside: bool
) -> None:
    section, key = place
    known = "provider: ssh, " if section == "servers" and key != "provider" else ""
    environ = {f"DISCO_{section}__{key}".upper(): value} if outside else {}
    text = f"name: a\n{section}: {{{known}{key}: {'0' if outside else value}}}\n"
    try:
        loaded(text, SET="7", **environ)
    except StackProblems as wrong:
        assert all(
            p.message and (p.line or p.file.startswith("environment")) for p in wrong.problems
        )
