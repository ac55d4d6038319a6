"""What a NAME means, and programs that run in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from disco.cli.foreground import attended
from disco.cli.target import Pods, one_pod, target
from disco.cli.wiring import open_stack
from disco.engine.errors import WrongUse


async def test_names_of_a_stack_that_is_down_are_known(stack: Path) -> None:
    async with open_stack(stack) as session:
        akash = await target(session, "akash")
        assert akash.pods == (Pods("akash", "app.kubernetes.io/instance=akash"),)
        assert akash.environ["AKASH_HOME"] == "/home/chain"
        assert akash == await target(session, "chains.akash")
        vault = await target(session, "vault")
        assert [p.namespace for p in vault.pods] == ["vault", "vault-probe"]
        kubernetes = await target(session, "kubernetes")
        assert (kubernetes.hosts[0].name, kubernetes.unit) == ("h1", "kubelet")
        assert kubernetes.pods[0] == Pods("kube-system")
        assert [h.name for h in (await target(session, "servers")).hosts] == ["h1"]


async def test_hosts_units_and_pods_have_names(stack: Path) -> None:
    async with open_stack(stack) as session:
        host = await target(session, "h1")
        assert (host.hosts[0].address, host.unit) == ("10.88.219.11", "")
        assert (await target(session, "h1:kubelet")).unit == "kubelet"
        pod = await target(session, "vault/openbao-0:openbao")
        assert pod.pods == (Pods("vault", pod="openbao-0", container="openbao"),)


@pytest.mark.parametrize(("name", "told"), [("akahs", "akash"), ("h2", "h1"), ("x", "known here")])
async def test_what_is_called_otherwise_is_told(stack: Path, name: str, told: str) -> None:
    async with open_stack(stack) as session:
        with pytest.raises(WrongUse) as raised:
            await target(session, name)
    assert told in raised.value.fix


class Answering:
    """Kubernetes' answer to a list of pods."""

    def __init__(self, *pods: tuple[str, str, bool]) -> None:
        self._pods = pods

    async def get(self, cluster: object, path: str, **_: str) -> dict[str, object]:
        namespace = path.split("/")[4]
        return {
            "items": [
                {
                    "metadata": {"namespace": space, "name": name},
                    "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
                    "status": {
                        "phase": "Running",
                        "conditions": [{"type": "Ready", "status": str(ready)}],
                    },
                }
                for space, name, ready in self._pods
                if space == namespace
            ]
        }


@pytest.mark.parametrize(
    ("pods", "chosen"),
    [
        ([("vault-probe", "vault-probe-1", True), ("vault", "openbao-0", True)], "openbao-0"),
        ([("vault", "openbao-0", False), ("vault", "openbao-1", True)], "openbao-1"),
        ([("vault", "openbao-0", False)], "openbao-0"),
    ],
)
async def test_a_command_goes_to_the_first_ready_pod_of_its_own(
    stack: Path, pods: list[tuple[str, str, bool]], chosen: str
) -> None:
    async with open_stack(stack) as session:
        wanted = await target(session, "vault")
        session.kube = Answering(*pods)  # type: ignore[assignment]
        assert (await one_pod(session, wanted))[1:] == (chosen, "main")
        await session.sessions.close()


@pytest.mark.parametrize(("code", "expected"), [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)])
async def test_the_exit_code_of_a_program_is_passed_on(code: str, expected: int) -> None:
    assert await attended("/bin/sh", ["sh", "-c", code]) == expected


async def test_a_program_has_the_name_it_is_called_by(tmp_path: Path) -> None:
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.orig_argv[0])"
    assert await attended(sys.executable, ["kubectl", "-c", script, str(tmp_path / "name")]) == 0
    assert (tmp_path / "name").read_text() == "kubectl"
