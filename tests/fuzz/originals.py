"""Whole files of every kind that a person writes or may edit: what is broken in the tests."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import bech32
import pyrage  # type: ignore[import-untyped]

import age_plugin
from sim.stacks import STACKS

WRONG = Path(__file__).parents[1] / "cases" / "stack" / "wrong"
OWN_STACK = """\
name: own
servers: {provider: local, count: 3}
kubernetes: {}
artifacts: {sources: [download, build]}
chains:
  mine: {definition: mine.yaml, validators: 3, stakes: [4000000, 1000000, 1000000]}
"""
MINE = """\
name: mine
title: Mine
version: v1
image: localhost/mine
binary: mined
env_prefix: MINED
home: /home/chain
denom: umine
address_prefix: mine
slip44: 118
minimum_gas_price: 0umine
family: sdk50
commands: {start: [start, --fast]}
settings: &all
  rpc.laddr: tcp://0.0.0.0:26657
paces:
  fast: {<<: *all, consensus.timeout_commit: 200ms}
networks:
  local:
    chain_id: mine-1
    genesis: {app_state.gov.params.period: '"60s"'}
  main: {chain_id: mine-2, genesis_url: "https://example.org/genesis.json", seeds: [a@b:1]}
"""
LOCK = f"""\
# Written by disco, for version control: what has a figure here never changes.
format: 1
artifacts:
  akash:
  - version: 0.36.0
    source: build
    arch: amd64
    sha256: {"a" * 64}
    inputs: {"b" * 64}
    verified: built here
    when: '2026-01-01'
  helm:
  - {{version: 4.3.1, source: download, arch: amd64, sha256: {"c" * 64},
      verified: published, when: '2026-01-01'}}
"""
RUN = (
    {"event": "run", "run": "ab12", "who": "ann@desk", "what": "apply", "plan": "0f", "steps": 2},
    {"event": "intent", "run": "ab12", "step": "servers/make", "action": "make h1"},
    {"event": "done", "run": "ab12", "step": "servers/make", "action": "make h1"},
    {"event": "intent", "run": "ab12", "step": "servers/boot", "action": "boot h1"},
    {"event": "failed", "run": "ab12", "step": "servers/boot", "action": "boot h1", "error": "no"},
    {"event": "end", "run": "ab12", "outcome": "failed"},
    {"event": "intent", "run": "cd34", "step": "servers/boot", "action": "boot h1"},
)
JOURNAL = "".join(json.dumps({"at": 1767225600.5 + i, **r}) + "\n" for i, r in enumerate(RUN))
HOLDER = '{"token": 3, "who": "ann@desk", "what": "apply", "pid": 4194304, "at": 1767225600.5}\n'
MARKER = '{"format": 2, "machine": null, "host": "desk"}\n'
KEY = bech32.bech32_encode("age-secret-key-", bech32.convertbits(bytes(range(32)), 8, 5) or [])
IDENTITY = f"# public key: age1{'q' * 58}\n{KEY.upper()}\n"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMNsT/8MYSWwaJVBEwAzJeFtr9kPXSBRS6rlDL5OsQ9C"
RECIPIENT = str(pyrage.x25519.Identity.from_str(KEY.upper()).to_public())
# Of a plugin that nobody has: what it could open is refused by the file that names it.
ON_A_TOKEN = f"# Recipient: {age_plugin.recipient()}\n{age_plugin.identity()}\n"
TEAM = f"""\
team: acme
version: 3
members:
  ana:
    role: admin
    keys:
      - "{SSH_KEY}"
  ben: {{role: reader, keys: [{RECIPIENT}, {age_plugin.recipient()}]}}
access:
  "production/*": [ana]
"""
SETTINGS = '{"remote": "git@host:team.git", "root": "' + "a" * 40 + '", "keys": ["/home/a/key"]}\n'
MEMORY = json.dumps(dict.fromkeys(("root", "shared", "verified"), "a" * 40)) + "\n"
KNOWN_HOSTS = (
    "192.0.2.11,a ssh-ed25519 AAAAa\n[192.0.2.11]:2222 ssh-ed25519 AAAAb\n|1|x= ssh-rsa B\n"
)

ORIGINALS: dict[str, tuple[bytes, ...]] = {
    "stack": (
        *(text.encode() for text in (*STACKS.values(), OWN_STACK) * 20),
        *(path.read_bytes() for path in sorted(WRONG.glob("*.yaml"))),
    ),
    "chain": (
        *[MINE.encode()] * 9,
        resources.files("disco.chains").joinpath("akash.yaml").read_bytes(),
    ),
    "lock": (LOCK.encode(),),
    "journal": (JOURNAL.encode(),),
    "holder": (HOLDER.encode(),),
    "marker": (MARKER.encode(),),
    "identity": (IDENTITY.encode(), ON_A_TOKEN.encode()),
    "team": (TEAM.encode(),),
    "settings": (SETTINGS.encode(),),
    "memory": (MEMORY.encode(),),
    "known_hosts": (KNOWN_HOSTS.encode(),),
}
SHARES = {
    "stack": 30,
    "chain": 18,
    "lock": 14,
    "journal": 10,
    "holder": 6,
    "marker": 6,
    "identity": 4,
    "team": 4,
    "settings": 2,
    "memory": 2,
    "known_hosts": 4,
}
