"""What users of other tools in this field complain of, each as a test: see docs/robustness.md."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from disco.cli.changing import agree
from disco.cli.planned import lost
from disco.engine import plan as planning
from disco.engine.declared import Declared
from disco.engine.errors import DiscoError, Exit, Several, WrongUse
from disco.engine.leaving import PREFIX
from disco.kube.actions import Drain
from disco.layers.cluster.node import SYSCTLS_FILE
from sim import in_virtual_time
from sim.api import Answer, Client
from sim.cluster import CLAIM
from sim.compare import differences, view
from sim.faults import BOOTING_S
from sim.faults import lost as connection_lost
from sim.nspawn import restart
from sim.stack import SimulatedStack, components
from sim.stacks import IRON, STACKS, WIDE, fleet
from sim.state import ClusterState, File, HostState

LONGEST_S = 10 * 60
QUICKLY_S = 2 * 60
# Of one action, and of all actions of one place more than once each, as the design promises.
ATTEMPTS, RETRIES = 4, 12
A = "    - {name: a, address: 192.0.2.11, host_key: ssh-ed25519 AAAAa}\n"
B = "    - {name: b, address: 192.0.2.12, host_key: ssh-ed25519 AAAAb}\n"
SECTIONS = {
    "servers": "servers: {provider: local, count: 3, network: 10.90.0.0/24}",
    "kubernetes": "kubernetes: {}",
    "alerts": 'alerts: {receivers: {ops: {webhook: {url: "https://ops.example/a"}}}}',
    "prometheus": "prometheus: {}",
    "probes": 'probes: {targets: {site: {http: "https://site.example/"}}}',
    "kube_state": "kube_state: {}",
    "logs": "logs: {}",
    "vault": "vault: {replicas: 3}",
    "chains": "  akash: {validators: 3, full_nodes: 2}",
}
NEED = {"prometheus": ("probes", "kube_state")}  # what can't be there without it
# Another value of every setting that there is.
OTHER: dict[str, dict[str, Any]] = {
    "kubernetes": {
        "pod_subnet": "10.245.0.0/16",
        "service_subnet": "10.97.0.0/16",
        "backend": "host-gw",
        "metrics_server": "false",
        "registries": "[{host: r.example, username: me, password: '${secret:registry/pull}'}]",
    },
    "prometheus": {
        "scrape_interval": "30s",
        "retention": "3d",
        "retention_size": "2GB",
        "storage": "6Gi",
        "remote_write": "[{url: 'https://metrics.example/w'}]",
        "vault": "{read: [kv/metrics/one]}",
    },
    "alerts": {
        "receivers": "{ops: {webhook: {url: 'https://ops.example/b'}}}",
        "routes": "[{severity: [critical], to: [ops]}]",
        "heartbeat": "[ops]",
        "heartbeat_interval": "1m",
        "group_wait": "1s",
        "group_interval": "2m",
        "repeat_interval": "1h",
        "replicas": 3,
        "storage": "1Gi",
        "vault": "{read: [kv/alerts/*]}",
    },
    "logs": {
        "store": "loki",
        "retention": "3d",
        "retention_size": "2GB",
        "storage": "6Gi",
        "vault": "{write: [kv/logs/one]}",
    },
    "vault": {
        "replicas": 5,
        "storage": "2Gi",
        "values": "{kv/akash/faucet: {key: '${secret:akash/faucet}'}}",
        "seal": "{kmip: {endpoint: 'kms.example:5696', key: one, certificate: pem, "
        "certificate_key: '${secret:vault/kmip}'}}",
    },
    "probes": {"targets": "{site: {http: 'https://site.example/', expect: 204}}"},
    "kube_state": {"interval": "30s"},
    "chains": {
        "validators": 2,
        "full_nodes": 1,
        "pace": "relaxed",
        "coins": 2_000_000_000_000,
        "stake": 2_000_000_000,
        "genesis_time": "'2026-01-02T00:00:00Z'",
        "storage": "3Gi",
        "signer": "{}",
        "vault": "{files: {key: 'kv/akash/faucet#key'}}",
    },
}
# People have to do it, and a plan tells so.
BY_PEOPLE = {"vault": {"holders": "[ana, ben]", "threshold": 2}}
# Neither is a setting of what runs, but of what DISCO may do to it.
OF_DISCO = {"prevent_destroy", "on_drift"}
# Each has one value only, or decides which component it is.
ONE_VALUE = {("kubernetes", "version"), ("chains", "definition"), ("chains", "network")}
# Two ways to say the same.
SAID_TWICE = {("chains", "stakes")}


def up(text: str, folder: Path) -> SimulatedStack:
    stack = SimulatedStack(text, folder)
    assert stack.apply().done
    return stack


def cluster_of(stack: SimulatedStack, plane: str = "a") -> ClusterState:
    found = stack.state.hosts[plane].cluster
    assert found is not None
    return found


def refusal(stack: SimulatedStack) -> list[DiscoError]:
    """Why it can't be applied, after which all is as it was."""
    before = view(stack)
    with pytest.raises(Several) as refused:
        stack.apply()
    assert differences(before, view(stack)) == []
    return refused.value.errors


def power(host: HostState, on: bool, now: float = 0.0) -> None:
    """A machine goes off, or boots again: what is only in memory goes, enabled units start, and
    settings of the kernel are what its files say."""
    host.running = on
    for unit in host.units.values():
        unit.active = on and unit.enabled
    host.files = {p: f for p, f in host.files.items() if not p.startswith("/run/")}
    settings = host.files.get(SYSCTLS_FILE, File("")).content.split()
    host.sysctls = dict(line.split("=") for line in settings) if on else {}
    if on and host.cluster:
        restart(host.cluster, now)  # a vault comes up sealed
        host.cluster.up_at, host.cluster.restarted = now + BOOTING_S, True


def test_endless_waits(folder: Path) -> None:
    """hetzner-k3s #141, #210, #232, #420."""
    plan = SimulatedStack(WIDE, folder).plan()
    bounds = [getattr(a, "within_s", None) for _, s in plan.steps for a in s.actions if a.waits]
    assert bounds and all(b is not None and 0 < b <= LONGEST_S for b in bounds)


@pytest.mark.parametrize("place", ["h2:", "disco"])
def test_unbounded_retries(folder: Path, place: str) -> None:
    """hetzner-k3s #39: retries without end closed a user's account at a cloud."""
    stack = SimulatedStack(WIDE, folder)

    def fail(label: str) -> None:
        if label.startswith("before: ") and label.split(" ", 2)[2].startswith(place):
            raise connection_lost(stack.simulation)

    stack.simulation.watch = fail
    ran = stack.apply()
    assert not ran.done
    tries = Counter(i for _, _, i in stack.state.log if i.split(" ", 1)[1].startswith(place))
    again = sum(tries.values()) - len(tries)
    assert max(tries.values()) == ATTEMPTS
    assert ATTEMPTS - 1 <= again <= RETRIES
    assert stack.state.now < LONGEST_S


def test_the_budget_of_one_place_holds_however_many_of_its_actions_fail(folder: Path) -> None:
    """hetzner-k3s #39: eight chains, whose first action at the API fails for ever."""
    names = [f"testnet{i}" for i in range(8)]
    rows = "".join(f"  {name}: {{definition: akash, validators: 1}}\n" for name in names)
    text = f"name: many\nservers: {{provider: local}}\nkubernetes: {{}}\nchains:\n{rows}"
    stack = SimulatedStack(text, folder)

    def fail(label: str) -> None:
        if label.startswith("before: ") and " disco:" in label and "testnet" in label:
            raise connection_lost(stack.simulation)

    stack.simulation.watch = fail
    assert not stack.apply().done
    tries = Counter(i for _, _, i in stack.state.log if " disco:" in i and "testnet" in i)
    assert len(tries) == len(names) and max(tries.values()) <= ATTEMPTS
    assert sum(tries.values()) - len(tries) == RETRIES < len(names) * (ATTEMPTS - 1)


def test_a_removed_pool_silently_ignored(folder: Path) -> None:
    """hetzner-k3s #773."""
    stack = up(WIDE, folder)
    stack.declare(WIDE.replace("count: 3", "count: 1"))
    assert stack.apply().done
    assert sorted(stack.state.hosts) == ["h1"]


def test_all_workers_cordoned_at_once(folder: Path) -> None:
    """k0sctl PR#723."""
    stack = up(WIDE, folder)
    stack.declare(WIDE.replace("count: 3", "count: 1"))
    steps = {s.id: s for n, s in stack.plan().steps if any(isinstance(a, Drain) for a in s.actions)}
    assert list(steps) == ["h2/drain", "h3/drain"]
    assert steps["h3/drain"].after == ("h2/drain",)


@pytest.mark.parametrize("tolerated", [0, 1])
def test_losing_the_first_control_plane_breaks_apply(folder: Path, tolerated: int) -> None:
    """kube-hetzner #851. There is one control plane: without it nothing can be applied, and DISCO
    says so at once, changes nothing, and goes on when it is back."""
    text = IRON.replace("provider: ssh\n", f"provider: ssh\n  max_unavailable: {tolerated}\n")
    stack = up(text, folder)
    stack.declare(text.replace("full_nodes: 1", "full_nodes: 2"))
    power(stack.state.hosts["a"], on=False)
    begun = stack.state.now
    (error,) = refusal(stack)
    assert (error.where, error.exit) == ("a", Exit.FAILED)
    assert stack.state.now - begun < QUICKLY_S
    power(stack.state.hosts["a"], on=True, now=stack.state.now)
    stack.simulation.passed(BOOTING_S)
    assert stack.apply().done and stack.plan().empty


class Budget:
    """Pods of a node that a disruption budget holds, as the API tells them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, node: str) -> None:
        self.holds, self.there, self.asked = True, True, 0
        get = Client.get

        async def pods(client: Client, path: str, params: Any = None, **rest: Any) -> Answer:
            if path != "/api/v1/pods" or (params or {}).get("fieldSelector") is None:
                return await get(client, path, params, **rest)
            meta = {"name": "held", "namespace": "theirs"}
            return Answer(200, {"items": [{"metadata": meta, "spec": {}}] if self.there else []})

        async def post(client: Client, path: str, json: Any = None, **rest: Any) -> Answer:
            self.asked += 1
            if self.holds:
                return Answer(429, {"message": "Cannot evict pod: budget"})
            self.there = False
            return Answer(201)

        monkeypatch.setattr(Client, "get", pods)
        monkeypatch.setattr(Client, "post", post, raising=False)


def test_upgrade_deadlocks_on_disruption_budgets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kube-hetzner #992, #1507: a drain that is held ends, and is gone on with when it is not."""
    stack = up(IRON, folder)
    stack.declare(IRON.replace(B, ""))
    drain = next(a for _, s in stack.plan().steps for a in s.actions if isinstance(a, Drain))
    budget, found = Budget(monkeypatch, "b"), dict(stack.state.hosts["b"].files)
    for _ in range(2):
        begun, asked = stack.state.now, budget.asked
        ran = stack.apply()
        assert ran.outcome is not None and len(ran.outcome.errors) == 1
        assert "b is drained" in ran.outcome.errors[0].what
        assert drain.within_s <= stack.state.now - begun < drain.within_s + QUICKLY_S
        assert 0 < budget.asked - asked <= drain.within_s + QUICKLY_S
        assert "b" in cluster_of(stack).nodes, "it is not forgotten while its pods are there"
        assert stack.state.hosts["b"].files == found
    budget.holds = False
    assert stack.apply().done and stack.plan().empty
    assert "b" not in cluster_of(stack).nodes


def settings() -> list[tuple[str, str]]:
    return [(section, name) for section, names in OTHER.items() for name in names]


@pytest.mark.parametrize(("section", "name"), settings())
def test_settings_without_effect_after_day_one(folder: Path, section: str, name: str) -> None:
    """kube-hetzner #2172: another value is carried out, or refused by name."""
    stack = up(WIDE, folder)
    before = view(stack)
    changed = _with(section, name, OTHER[section][name])
    stack.declare(changed)
    try:
        plan = stack.plan()
    except Exception as error:
        assert name.replace("_", " ") in str(error).replace("_", " ")
        return
    assert not plan.empty, "it was taken without a word, and nothing happens"
    ran = stack.apply()
    assert ran.done, ran.outcome
    assert view(stack) != before
    assert stack.plan().empty


def test_what_a_chain_or_a_vault_can_not_be_made_less_of_is_refused_by_name(folder: Path) -> None:
    stack = up(WIDE, folder)
    whole = stack.simulation.capture()
    stack.declare(WIDE.replace("replicas: 3", "replicas: 1").replace("ors: 3", "ors: 2"))
    with pytest.raises(Several) as caught:
        stack.plan()
    assert sorted((e.where, e.why) for e in caught.value.errors) == [
        ("chains.akash.validators", "the chain was made with 3"),
        (
            "vault.replicas",
            "its data is on 3 pods, which vote: without 2 of them it could stop for good",
        ),
    ]
    assert stack.simulation.capture().is_like(whole)


@pytest.mark.parametrize("section", ["alerts", "prometheus", "logs", "vault", "chains"])
def test_volumes_of_another_size_are_refused_by_name_and_can_be_made_anew(
    folder: Path, section: str
) -> None:
    stack = up(WIDE, folder)
    other = _with(section, "storage", "9Gi")
    stack.declare(other)
    with pytest.raises(Several, match="storage can't be changed") as caught:
        stack.plan()
    assert all("take" in e.fix and "out of the file" in e.fix for e in caught.value.errors)
    lines = [f"{SECTIONS[s]}\n" for s in (section, *NEED.get(section, ()))]
    lines += ["chains:\n"] * (section == "chains")
    without = WIDE
    for line in lines:
        without = without.replace(line, "")
    stack.declare(without)
    assert stack.apply().done
    stack.declare(other)
    assert stack.apply().done
    assert stack.plan().empty


def test_the_same_size_in_other_words_is_no_other_size(folder: Path) -> None:
    stack = up(WIDE.replace("prometheus: {}", "prometheus: {storage: 1024Mi}"), folder)
    stack.declare(WIDE.replace("prometheus: {}", "prometheus: {storage: 1Gi}"))
    assert stack.apply().done


def test_validators_are_those_of_the_genesis_that_was_made(folder: Path) -> None:
    """Three were declared, and DISCO died before they were made; then two were."""
    two = WIDE.replace("ors: 3", "ors: 2")
    stack = SimulatedStack(WIDE, folder)
    stack.apply(kill_at=40)
    stack.declare(two)
    left, made = stack.simulation.capture(), "after: genesis kept chains/akash/genesis.json"
    number = stack.apply().points.index(made) + 1
    stack.simulation.restore(left)
    assert stack.apply(kill_at=number).killed == made
    assert stack.apply().done
    assert stack.plan().empty


# What is lost by it is what was asked for: the figures that metrics-server keeps in its memory.
LOSES = {("kubernetes", "metrics_server"): ("release metrics-server in kube-system",)}


def data(stack: SimulatedStack) -> set[str]:
    """What is there that could not be made again: volumes, keys, geneses, machines, nodes."""
    state, vault = stack.state, cluster_of(stack, "h1").vault
    claims = [p for p in cluster_of(stack, "h1").objects if "/persistentvolumeclaims/" in p]
    pods = vault.pods if vault else {}
    return {
        *claims,
        *(f"volume {CLAIM.format(i)}" for i, p in pods.items() if p.data_at is not None),
        *(f"node {n}" for n in cluster_of(stack, "h1").nodes),
        *(f"machine {h.machine_id}" for h in state.hosts.values()),
        *(f"{path} is {value}" for path, value in view(stack).items() if _is_kept(path)),
    }


def _is_kept(path: str) -> bool:
    """A lease says where a key is; it moves with the key."""
    return path.startswith(("/secrets/", "/kept/")) and "/leases/" not in path


@pytest.mark.parametrize(("section", "name"), settings())
def test_upgrade_wants_to_destroy_volumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, section: str, name: str
) -> None:
    """kube-hetzner #637: no setting that is changed plans to destroy data, nor does it."""
    stack = up(WIDE, folder)
    stack.declare(_with(section, name, OTHER[section][name]))
    try:
        plan = stack.plan()
    except Several:
        return  # refused by name, see above
    assert lost(plan) == LOSES.get((section, name), ())
    if lost(plan):
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(WrongUse, match="destroys"):
            agree(yes=True, question="?")(plan)
    before = data(stack)
    stack.apply()
    assert before - data(stack) == set()


GONE = {
    "servers": ("count: 3", "count: 1"),
    "vault": ("vault: {replicas: 3}\n", ""),
    "alerts": ('alerts: {receivers: {ops: {webhook: {url: "https://ops.example/a"}}}}\n', ""),
    "prometheus": (
        'prometheus: {}\nprobes: {targets: {site: {http: "https://site.example/"}}}\n'
        "kube_state: {}\n",
        "",
    ),
    "logs": ("logs: {}\n", ""),
    "chains.akash": ("chains:\n  akash: {validators: 3, full_nodes: 2}\n", ""),
}
PROTECTED = {
    "servers": ("10.90.0.0/24}", "10.90.0.0/24, prevent_destroy: true}"),
    "vault": ("{replicas: 3}", "{replicas: 3, prevent_destroy: true}"),
    "alerts": ("alerts: {receivers", "alerts: {prevent_destroy: true, receivers"),
    "prometheus": ("prometheus: {}", "prometheus: {prevent_destroy: true}"),
    "logs": ("logs: {}", "logs: {prevent_destroy: true}"),
    "chains.akash": ("full_nodes: 2}", "full_nodes: 2, prevent_destroy: true}"),
}


@pytest.mark.parametrize("section", GONE)
def test_what_does_destroy_is_asked_for_or_protected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    """kube-hetzner #637."""
    text = WIDE.replace(*PROTECTED[section])
    stack = up(text, folder)
    gone = (GONE[section][0], GONE[section][1])
    less = text.replace(*gone) if section == "servers" else WIDE.replace(*gone)
    stack.declare(less)
    plan = stack.plan()
    assert lost(plan)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(WrongUse, match="destroys"):
        agree(yes=True, question="?")(plan)
    was = Declared(stack.place.declared).read(components())
    specs = {n: s[-1] for n, s in was.items()} | dict(stack.loaded.specs)
    with pytest.raises(WrongUse, match="must not be destroyed"):
        planning.refuse_protected(plan, {f"{PREFIX}{n}": s for n, s in specs.items()})


HOLD = """
import sys, time
from pathlib import Path
from disco.engine.machine_lock import MachineLock
with MachineLock(Path(sys.argv[1])).hold("apply"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_hang_then_stuck_locks(folder: Path) -> None:
    """k0sctl #572: a run that hangs is named to who comes next; killed, it leaves no lock."""
    stack = SimulatedStack(IRON, folder)
    stack.place.open()
    argv = [sys.executable, "-c", HOLD, str(stack.place.lock)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as hanging:
        try:
            assert hanging.stdout is not None and hanging.stdout.readline() == "held\n"
            with pytest.raises(DiscoError, match=f"process {hanging.pid}"):
                stack.apply()
        finally:
            hanging.kill()
    assert stack.apply().done and stack.plan().empty


def test_slow_at_scale(folder: Path) -> None:
    """kubespray #5954, #9279: one host more costs as much in a fleet of 40 as in one of 4.
    `tests/fleet` counts the same for a thousand."""
    few, many = _one_more(4, folder / "few"), _one_more(40, folder / "many")
    assert few == many and sum(few.values()) < 60


def _one_more(hosts: int, folder: Path) -> Counter[str]:
    stack = up(fleet(hosts), folder)
    stack.declare(fleet(hosts + 1))
    before = len(stack.state.log)
    assert stack.apply().done and stack.plan().empty
    return Counter(kind for _, kind, _ in stack.state.log[before:])


def tolerant(hosts: int, away: int = 1) -> str:
    return fleet(hosts).replace("provider: ssh\n", f"provider: ssh\n  max_unavailable: {away}\n")


def test_orphan_etcd_learner_blocks_joins(folder: Path) -> None:
    """rke2 #347, k3s #2306, #8496. There is one control plane, so no learner; what can be left is
    a worker that joined by half, and died. Others join; it goes when it is no longer named."""
    stack = SimulatedStack(tolerant(2), folder)
    nothing = stack.simulation.capture()
    points = stack.apply().points
    inside = [i for i, p in enumerate(points, 1) if p.startswith("join: ")]
    assert len(inside) >= 5
    for number in inside:
        stack.simulation.restore(nothing)
        stack.declare(tolerant(2))
        assert stack.apply(kill_at=number).killed == points[number - 1]
        power(stack.state.hosts["h1"], on=False)
        stack.declare(tolerant(3))
        assert stack.apply().done, points[number - 1]
        assert {"h0", "h2"} <= set(cluster_of(stack, "h0").nodes)
        stack.declare(tolerant(3).replace(_row(1), ""))
        assert stack.apply().done, points[number - 1]
        assert sorted(cluster_of(stack, "h0").nodes) == ["h0", "h2"]
        assert stack.plan().empty


def _row(host: int) -> str:
    return next(f"{line}\n" for line in fleet(host + 1).splitlines() if f"name: h{host}," in line)


def test_stale_node_password(folder: Path) -> None:
    """k3s #802: a server that was made anew under its old name is named, and joins when the old
    node is forgotten; until then everything else stays as it is."""
    stack = up(WIDE, folder)
    cluster = cluster_of(stack, "h1")
    del stack.state.hosts["h2"]  # its folder was lost
    ran = stack.apply()
    assert ran.outcome is not None and not ran.done
    assert [e.where for e in ran.outcome.errors] == ["h2"]
    assert "another machine than the node of that name" in ran.outcome.errors[0].what
    assert "delete node h2" in ran.outcome.errors[0].fix
    assert "kubelet.service" not in stack.state.hosts["h2"].units
    del cluster.nodes["h2"], cluster.machines["h2"]  # as it said
    assert stack.apply().done and stack.plan().empty
    assert cluster.machines["h2"] == stack.state.hosts["h2"].machine_id


def test_removed_member_must_wipe_its_database(folder: Path) -> None:
    """k3s #13498: a server that left and is added again, here to another cluster, joins as new."""
    stack = SimulatedStack(IRON, folder / "one")
    found = dict(stack.state.hosts["b"].files)
    assert stack.apply().done
    stack.declare(IRON.replace(B, ""))
    assert stack.apply().done
    host = stack.state.hosts["b"]
    assert (host.files, host.units, host.sandboxes, host.images) == (found, {}, set(), {})
    assert host.cluster is None and "b" not in cluster_of(stack).nodes

    stack.declare(IRON)
    assert stack.apply().done and stack.plan().empty
    assert stack.state.counts["kubeadm join on b"] == 2

    assert stack.down().done
    other = SimulatedStack(IRON.replace("iron", "other"), folder / "two")
    other.state.hosts.update(stack.state.hosts)
    assert other.apply().done and other.plan().empty
    host = other.state.hosts["b"]
    assert host.files["/etc/kubernetes/pki/ca.crt"].content == cluster_of(other).ca


@pytest.mark.parametrize("name", ["iron", "three"])
def test_restore_done_lost_after_reboot(folder: Path, name: str) -> None:
    """Omni #3300: what `apply` did is still so when every server was switched off and on. A vault
    comes up sealed; nothing else is planned."""
    stack = up(STACKS[name], folder)
    before = view(stack)
    for host in stack.state.hosts.values():
        power(host, on=False)
    for host in stack.state.hosts.values():
        power(host, on=True, now=stack.state.now)
    stack.simulation.passed(2 * BOOTING_S)
    assert {s for s, _ in stack.plan().steps} <= {"vault/open", "vault/probe"}
    assert stack.apply().done
    assert differences(before, view(stack)) == []


def test_local_servers_come_back_after_this_machine_rebooted(folder: Path) -> None:
    """Omni #3300: their bridge and processes are gone with it; their disks are not."""
    stack = up(WIDE, folder)
    before, data_before = view(stack), data(stack)
    for host in stack.state.hosts.values():
        power(host, on=False)
    stack.state.networks.clear()
    ran = stack.apply()
    assert ran.done and stack.plan().empty
    assert data(stack) == data_before
    assert differences(before, view(stack)) == []
    assert ran.plan is not None and lost(ran.plan) == ()


@pytest.mark.parametrize("tolerated", [0, 2])
def test_upgrade_sent_to_the_wrong_machine(folder: Path, tolerated: int) -> None:
    """Omni #888: two machines swap their addresses. None counts as one that is merely away."""
    stack = up(tolerant(3, tolerated), folder)
    stack.declare(tolerant(4, tolerated))
    h1, h2 = stack.state.hosts["h1"], stack.state.hosts["h2"]
    h1.address, h2.address = h2.address, h1.address
    errors = refusal(stack)
    assert {e.where for e in errors} == {"h1", "h2"}
    assert all("host key is not the pinned one" in e.what for e in errors)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (0, 1)])
def test_a_stack_file_that_names_another_machine_is_refused(
    folder: Path, one: int, other: int
) -> None:
    """Omni #888: addresses and keys of two servers are swapped in the file; keys fit, so the
    machines' ids, and which of them the cluster was made on, have to tell."""
    stack = up(fleet(3), folder)
    stack.declare(_swapped(fleet(3), one, other))
    errors = refusal(stack)
    told = " ".join(str(e) for e in errors)
    assert f"h{one}" in told
    assert "another machine" in told or "carries the control plane" in told


def _swapped(text: str, one: int, other: int) -> str:
    first, second = _row(one), _row(other)
    a = second.replace(f"name: h{other},", f"name: h{one},")
    b = first.replace(f"name: h{one},", f"name: h{other},")
    return text.replace(first, "@").replace(second, b).replace("@", a)


def test_ready_while_not_upgraded(folder: Path) -> None:
    """canonical/k8s-operator #975: a check reads the versions that run, of each kubelet too."""
    stack = up(IRON, folder)
    assert _versions(stack) == (True, "")
    stack.state.hosts["b"].kubelet = "v1.35.9"
    ok, told = _versions(stack)
    assert not ok and "kubelet on b: runs v1.35.9" in told


def _versions(stack: SimulatedStack) -> tuple[bool, str]:
    """What the check of the cluster's versions answers."""
    process = stack.start()

    async def asked() -> tuple[bool, str]:
        looks = await planning.observe(process.graph, process.world)
        checks = looks["kubernetes"].component.checks(process.world)
        (check,) = (c for c in checks if c.id == "cluster/versions")
        answer = await check.ask()
        return answer.ok, "" if answer.ok else answer.evidence

    return in_virtual_time(asked())


def _with(section: str, name: str, value: object) -> str:
    line = SECTIONS[section]
    inside = line[line.index("{") + 1 : line.rindex("}")]
    kept = [part for part in inside.split(", ") if part and not part.startswith(f"{name}:")]
    changed = f"{line[: line.index('{')]}{{{', '.join([*kept, f'{name}: {value}'])}}}"
    return WIDE.replace(line, changed)


def test_every_setting_is_among_those_that_are_tried() -> None:
    from disco.engine.component import spec_class
    from disco.layers.registry import OWN

    for component in OWN:
        if component.section in OTHER:
            names = set(spec_class(component).model_fields) - OF_DISCO
            known = {n for s, n in (*ONE_VALUE, *SAID_TWICE) if s == component.section}
            known |= BY_PEOPLE.get(component.section, {}).keys()
            assert names == set(OTHER[component.section]) | known, component.section


def test_what_people_have_to_do_is_told(folder: Path) -> None:
    """Other holders of the vault's key: their shares are made by those who hold it now."""
    stack = up(WIDE, folder)
    stack.declare(WIDE.replace("replicas: 3", "replicas: 3, holders: [ana, ben], threshold: 2"))
    plan = stack.plan()
    assert plan.empty
    (note,) = (n for part in plan.parts for n in part.notes)
    assert "the store's key opens it, and the file says 2 of ana, ben: disco vault rekey" in note
