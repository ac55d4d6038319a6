"""What may be wrong with a stack that is up, and what the next plan has to change for it."""

from __future__ import annotations

from dataclasses import replace

from disco.layers.cluster.node import LOGINS
from disco.store.team import layout
from sim.stack import SimulatedStack
from sim.state import File
from sim.store import simulated

# A file on a host -> the unit that reads it.
READ_BY = {
    "/etc/disco/containerd.toml": "disco-containerd.service",
    "/etc/systemd/system/disco-containerd.service": "disco-containerd.service",
    "/etc/systemd/system/disco-apiproxy.service": "disco-apiproxy.service",
    "/etc/systemd/system/kubelet.service": "kubelet.service",
    LOGINS: "kubelet.service",
}
# What people make of one: other content, another mode, nothing.
BY_HAND = (File("edited\n"), File("same", 0o640), None)

# A secret that can be made anew -> the actions that bring it to where it is used.
OWED = {
    "kubernetes/bootstrap-token": ["put {plane}:/etc/disco/kubeadm/init.yaml"],
    "vault/probe": ["vault-setup disco:vault/vault-setup"],
    "chains/akash/validator-0/node": [
        "apply disco:objects/akash",
        "release disco:release/akash/akash",
    ],
}


def change_by_hand(stack: SimulatedStack, path: str, by_hand: File | None) -> tuple[str, str]:
    """On the first host. The actions that mend it: the file is put, its unit restarted."""
    host = next(iter(stack.state.hosts.values()))
    was = host.files.pop(path)
    if by_hand:
        same = by_hand.content == "same"
        host.files[path] = replace(by_hand, content=was.content) if same else by_hand
    return f"put {host.name}:{path}", f"unit {host.name}:unit/{READ_BY[path]}"


def owe(stack: SimulatedStack, secret: str) -> None:
    """Somebody left who could read it."""
    name = f"{stack.loaded.name}/{secret}"
    simulated(stack.place).shelf.write("Mark it", files={layout.owed_of(name): b"{}\n"})


def uses_of(stack: SimulatedStack, secret: str) -> list[str]:
    plane = next(h.name for h in stack.state.hosts.values() if h.cluster)
    return [identity.format(plane=plane) for identity in OWED[secret]]


def changed(stack: SimulatedStack) -> list[str]:
    """What the next plan changes, without what is only waited for."""
    return [a.identity for _, s in stack.plan().steps for a in s.actions if not a.waits]
