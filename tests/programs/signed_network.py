"""A network of one validator by the scripts of its pods, with a real akash and a real tmkms. One
alone: if what is carried between them were less than exact, no block would come any more, or a
second one for a height that it signed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from charts_helm import ROOT, program

from disco.chains import ValidatorKeys, chains, genesis_of, make_genesis
from disco.chains import lease as leases
from disco.chains.lease import HOME, SIGNER, Lease
from disco.chains.signed import Signed
from disco.engine.place import Place
from disco.layers.akash.signer_pods import of_file, signed_at_home, signed_at_signer
from disco.store.store import Store

CHAIN = "disco-local-1"
NO_EVIDENCE = hashlib.sha256(b"").hexdigest().upper()
CONFIG = """
[[chain]]
id = "{chain}"
key_format = {{ type = "hex" }}
state_file = "{state}/state.json"
[[providers.softsign]]
chain_ids = ["{chain}"]
key_type = "consensus"
key_format = "json"
path = "{key}"
"""
DIALS = """
[[validator]]
chain_id = "{chain}"
addr = "tcp://127.0.0.1:{port}"
secret_key = "{connection}"
protocol_version = "v0.34"
reconnect = true
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until(what: str, test: Callable[[], Any], within_s: float = 60) -> Any:
    ends = time.monotonic() + within_s
    while not (seen := test()):
        assert time.monotonic() < ends, f"gave up waiting until {what}"
        time.sleep(0.1)
    return seen


@dataclass
class Network:
    """One validator, its signer, and what each keeps. running: processes by what they are. remote:
    the validator was started without its key. named: its home; the signer's volume.
    """

    top: Path
    akash: Path
    tmkms: Path
    lease: Lease
    rpc: int = field(default_factory=free_port)
    privval: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    remote: bool = False
    named: tuple[str, str] = ("home", "state")

    @property
    def home(self) -> Path:
        return self.top / self.named[0]

    @property
    def state(self) -> Path:
        return self.top / self.named[1]

    @property
    def key(self) -> Path:
        return self.top / "keys" / "validator-0.priv_validator_key.json"

    def lay_home(self, remote: bool) -> str:
        """As the first container of the validator's pod; what it tells."""
        empty = self.top / "no-keys"
        empty.mkdir(exist_ok=True)
        (self.top / "lease").write_bytes(self.lease.lines())
        told = self.top / "told"
        told.unlink(missing_ok=True)
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.top),
            "POD": "validator-0",
            "ROLE": "validator",
            "BINARY": str(self.akash),
            "CHAIN_ID": CHAIN,
            "CHAIN_HOME": str(self.home),
            "GENESIS": str(self.top / "genesis.json"),
            "KEYS": str(empty if remote else self.key.parent),
            "REMOTE_SIGNER": str(remote).lower(),
            "LEASE": str(self.top / "lease"),
            "RESULT": str(told),
            "PEERS": "",
        }
        script = str(ROOT / "charts" / "chain" / "files" / "home.sh")
        command = ["sh", script, "init", "validator-0", "--chain-id", CHAIN]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
        return told.read_text()

    def left_at_home(self) -> Signed:
        """The key is taken from the validator's home, which tells what it had signed."""
        told = self.lay_home(remote=True)
        return signed_at_home(told, self.lease.address, "validator-0", self.lease.signed)

    def left_at_signer(self) -> Signed:
        """The key is taken from the signer's volume, which tells what it had signed."""
        done = self.gate(begun=self.lease.begun, leaving=True)
        assert done.returncode == 0, done.stderr
        return signed_at_signer((self.top / "gate").read_text(), self.lease, "signer-0-0")

    def gate(self, begun: int = 0, leaving: bool = False) -> subprocess.CompletedProcess[str]:
        (self.top / "lease").write_bytes(self.lease.lines())
        self.state.mkdir(exist_ok=True)
        environment = {
            "PATH": "/usr/bin:/bin",
            "LEASE": str(self.top / "lease"),
            "KEY": "" if leaving else str(self.key),
            "LEAVING": "true" if leaving else "",
            "STATE": str(self.state),
            "CHAIN_ID": CHAIN,
            "POD": "signer-0-0",
            "SIGNER": "signer-0",
            "BEGUN": str(begun or ""),
            "RESULT": str(self.top / "gate"),
        }
        script = str(ROOT / "charts" / "signer" / "files" / "gate.sh")
        return subprocess.run(
            ["sh", script], env=environment, text=True, capture_output=True, timeout=20
        )

    def goes_there(self) -> None:
        """Its key goes to the signer."""
        self.running["validator"].terminate()
        self.running["validator"].wait(timeout=20)
        self.kill("validator")
        self.lease = self.lease.moved(SIGNER, self.left_at_home())
        done = self.gate(begun=self.lease.begun)
        assert done.returncode == 0, done.stderr
        self.lease = leases.begun(self.lease)
        self.start_validator(remote=True)
        self.start_signer()

    def comes_back(self) -> str:
        """The signer ends first: what it answered is with the validator, that runs. What that
        one's gate tells."""
        self.end_signer()
        self.lease = self.lease.moved(HOME, self.left_at_signer())
        self.kill("validator")  # as a kubelet in the end: for want of a signer it hears nothing
        told = self.lay_home(remote=False)
        self.start_validator(remote=False)
        return told

    def start_validator(self, remote: bool) -> None:
        self.remote = remote
        settings = {
            "RPC_LADDR": f"tcp://127.0.0.1:{self.rpc}",
            "RPC_PPROF_LADDR": "",
            "P2P_LADDR": f"tcp://127.0.0.1:{free_port()}",
            "GRPC_ENABLE": "false",
            "GRPC_WEB_ENABLE": "false",
            "API_ENABLE": "false",
            "MINIMUM_GAS_PRICES": "0.025uakt",
            "CONSENSUS_TIMEOUT_COMMIT": "100ms",
            "CONSENSUS_TIMEOUT_PROPOSE": "1s",
        }
        if remote:
            settings["PRIV_VALIDATOR_LADDR"] = f"tcp://127.0.0.1:{self.privval}"
        environment = {"HOME": str(self.top), "PATH": "/usr/bin:/bin"}
        environment |= {f"AKASH_{name}": value for name, value in settings.items()}
        command = [str(self.akash), "start", f"--home={self.home}"]
        self._start("validator", command, environment)

    def start_signer(self, *others: Network) -> None:
        """others: that it is given besides."""
        about = {"chain": CHAIN, "state": self.state, "key": self.key}
        own = f"{self.state}-connection"
        config = CONFIG.format(**about) + "".join(
            DIALS.format(chain=CHAIN, port=n.privval, connection=own) for n in (self, *others)
        )
        toml = self.top / f"{self.state.name}.toml"
        toml.write_text(config)
        environment = {
            "PATH": f"{self.tmkms.parent}:/usr/bin:/bin",
            "HOME": str(self.top),
            "STATE": str(self.state),
            "BEGUN": str(self.lease.fence),
            "CONFIG": str(toml),
            "CONNECTION": own,
        }
        script = str(ROOT / "charts" / "signer" / "files" / "sign.sh")
        self._start("signer", ["sh", script], environment)

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """Of its `validator` or its `signer`."""
        kept = dict(zip(("validator", "signer"), self.named, strict=True))[name]
        return self.top / f"{kept}.log"

    def end_signer(self) -> None:
        """As a kubelet does it: its first process is told."""
        self.running["signer"].terminate()
        self.running["signer"].wait(timeout=20)
        self.kill("signer")

    def kill(self, *names: str) -> None:
        """At once, whatever it is doing."""
        for name in names:
            process = self.running.pop(name)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)

    def height(self) -> int:
        """0 while nobody answers. A validator that ended for want of a signer is started again, as
        its pod would be."""
        process = self.running["validator"]
        if process.poll() is not None:
            self.start_validator(self.remote)
        with contextlib.suppress(httpx2.TransportError, KeyError):
            found = self.ask("status")["sync_info"]["latest_block_height"]
            return int(found)
        return 0

    def ask(self, what: str) -> Any:
        answer = httpx2.get(f"http://127.0.0.1:{self.rpc}/{what}", timeout=5)
        return answer.json()["result"]

    def reaches(self, height: int) -> int:
        return int(until(f"height {height}", lambda: (h := self.height()) >= height and h, 90))

    def signed(self) -> Signed:
        return of_file((self.state / "state.json").read_text(), "state")

    def blocks(self) -> dict[int, str]:
        """Height -> hash. None of them has evidence of a double sign in it."""
        found: dict[int, str] = {}
        for top in range(self.height(), 0, -20):
            asked = f"blockchain?minHeight={max(1, top - 19)}&maxHeight={top}"
            for meta in self.ask(asked)["block_metas"]:
                assert meta["header"]["evidence_hash"] == NO_EVIDENCE
                found[int(meta["header"]["height"])] = meta["block_id"]["hash"]
        return found


@contextlib.contextmanager
def network_of(top: Path) -> Iterator[Network]:
    """Its validator has its key and makes blocks; all that it started is ended."""
    akash, tmkms = Path(program("akash")), Path(program("tmkms"))
    found = Network(top, akash, tmkms, _prepared(top, akash))
    try:
        found.home.mkdir()
        found.lay_home(remote=False)
        found.start_validator(remote=False)
        found.reaches(5)
        yield found
    finally:
        found.kill(*found.running)


def _prepared(top: Path, akash: Path) -> Lease:
    """Its keys and its genesis, as the store has them; the lease that goes with them."""
    store = Store(Place(top / "store"))
    chain, keys = chains()["akash"].on("local"), ValidatorKeys.under("chains/akash", "validator-0")
    for remember in keys.remembers("akash", chain.slip44):
        store.put(remember.secret, remember.generate.make())
    made = genesis_of(
        chain,
        "local",
        (keys,),
        akash,
        "2026-01-01T00:00:00Z",
        "1000000000000uakt",
        ("1000000000uakt",),
    )
    asyncio.run(make_genesis(made, store, lambda note, share: None))
    genesis = json.loads(store.kept(made.kept) or b"")
    # else the time of a block is the last one's and a second, and two make the same blocks
    genesis["consensus_params"]["block"]["time_iota_ms"] = "1"
    (top / "genesis.json").write_text(json.dumps(genesis))
    (top / "keys").mkdir()
    (top / "keys" / "validator-0.priv_validator_key.json").write_text(
        store.lookup(keys.validator_key)
    )
    (top / "keys" / "validator-0.node_key.json").write_text(store.lookup(keys.node_key))
    return leases.taken(Lease(store.lookup(keys.address), CHAIN), "dev", "uid", HOME)
