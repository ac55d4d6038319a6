"""Stack files for tests in the simulated world: the examples, and what no example has."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDE = """\
name: wide
servers: {provider: local, count: 3, network: 10.90.0.0/24}
kubernetes: {}
alerts: {receivers: {ops: {webhook: {url: "https://ops.example/a"}}}}
prometheus: {}
probes: {targets: {site: {http: "https://site.example/"}}}
kube_state: {}
logs: {}
vault: {replicas: 3}
chains:
  akash: {validators: 3, full_nodes: 2}
"""
LOOKING = "artifacts: {sources: [build, download]}\ngrafana: {}\n"
SENDING = """\
prometheus:
  remote_write:
    - {url: "https://one.example/w", username: me, password: "${secret:metrics/one}"}
    - {url: "https://two.example/w", token: "${secret:metrics/two#token}"}
    - {url: "https://three.example/w"}
"""
TELLING = """\
alerts:
  receivers:
    ops: {webhook: {url: "https://ops.example/a", token: "${secret:alerts/ops}"}}
    night: {pagerduty: {routing_key: "${secret:alerts/night#key}"}}
    mail:
      email:
        to: [ops@example.com]
        sender: disco@example.com
        server: mail.example:587
        username: me
        password: "${secret:alerts/mail}"
  routes:
    - {severity: [critical], to: [night, ops]}
  heartbeat: [ops]
"""
PULLING = """\
kubernetes:
  registries:
    - {host: "registry.example:5000", username: me, password: "${secret:registry/pull}"}
    - {host: two.example, username: you, password: "${secret:registry/two#token}"}
"""
IRON = """\
name: iron
servers:
  provider: ssh
  hosts:
    - {name: a, address: 192.0.2.11, host_key: ssh-ed25519 AAAAa}
    - {name: b, address: 192.0.2.12, host_key: ssh-ed25519 AAAAb}
kubernetes: {backend: host-gw, metrics_server: false}
vault: {replicas: 3}
chains:
  akash: {validators: 3, full_nodes: 1}
"""
QUORUM = IRON.replace("name: iron", "name: quorum").replace(
    "{replicas: 3}", "{replicas: 3, holders: [anna, ben, carla], threshold: 2}"
)
STACKS = {
    "devnet": (EXAMPLES / "devnet.yaml").read_text(),
    "three": (EXAMPLES / "three.yaml").read_text(),
    "wide": WIDE.replace("prometheus: {}\n", SENDING + LOOKING)
    .replace("kubernetes: {}\n", PULLING)
    .replace(next(line for line in WIDE.splitlines(True) if "alerts:" in line), TELLING),
    "iron": IRON,
}


def fleet(hosts: int) -> str:
    """A cluster on so many servers that exist already."""
    rows = "".join(
        f"    - {{name: h{i}, address: 10.9.{i // 250}.{i % 250 + 1}, "
        f"host_key: ssh-ed25519 AAAA{i}}}\n"
        for i in range(hosts)
    )
    return (
        f"name: fleet\nservers:\n  provider: ssh\n  hosts:\n{rows}"
        "kubernetes: {pod_subnet: 10.128.0.0/9}\n"
    )
