"""A whole real `up`, killed again and again over all layers, ends as if nobody had touched it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from kills import killed_when, redone
from secrets_watch import Watch, secrets_of, watching
from stack import UP_S, LabStack, lab_stack

from disco.store.team.git import Git

STACK = """
name: killed
servers: {provider: local, count: 1, network: 10.88.213.0/24}
kubernetes: {}
prometheus: {}
vault: {}
chains:
  akash: {validators: 1}
"""

# Where it is killed: the kind of action, a part of what it touches, and when, in seconds after the
# journal has its intent (None: after its outcome). In the order in which a run comes to them.
POINTS: list[tuple[str, str, float | None]] = [
    ("remember", "servers/login", 0.0),
    ("nspawn-make", "h1", 0.3),
    ("nspawn-boot", "h1", 0.1),
    ("remember", "kubernetes/ca", None),
    ("program", "kubeadm", 0.5),
    ("put", "disco-containerd.service", 0.0),
    ("unit", "disco-containerd.service", 0.1),
    ("images", "images/node", 1.0),
    ("run", "control plane", 3.0),
    ("release", "network", 0.5),
    ("release", "storage", None),
    ("remember", "vault/probe", 0.0),
    ("genesis", "chains/akash", 0.2),
    ("release", "openbao", 0.8),
    ("apply", "objects/akash", 0.0),
    ("vault-init", "vault", 0.5),
    ("vault-unseal", "vault", 0.2),
    ("release", "akash", 0.4),
    ("await-rollout", "statefulsets/akash", 1.0),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The stack after all kills and one last, undisturbed run; with what processes showed."""
    folder = tmp_path_factory.mktemp("killed")
    with lab_stack(folder, STACK) as stack, watching() as watch:
        hits = [p for p in POINTS if _killed_at(stack, p)]
        last = stack.disco("up", "--yes", within_s=UP_S)
        yield stack, watch, hits, last


def _killed_at(stack: LabStack, point: tuple[str, str, float | None]) -> bool:
    """Run `up` until the point and kill it there. False when the run ended before it came."""
    kind, part, delay = point
    wanted = "intent" if delay is not None else "done"

    def there(records: list[dict[str, Any]]) -> bool:
        return any(r["event"] == wanted and _is(r, kind, part) for r in records)

    return killed_when(stack, ("up", "--yes"), there, delay or 0.0)


def _is(record: dict[str, Any], kind: str, part: str) -> bool:
    action: str = record.get("action", "")
    return action.startswith(f"{kind} ") and part in action


def test_the_run_was_killed_in_every_layer(killed: Any) -> None:
    _, _, hits, _ = killed
    print(f"killed at {len(hits)} of {len(POINTS)} points")
    assert len(hits) >= 12, hits


def test_the_last_run_ends_well(killed: Any) -> None:
    _, _, _, last = killed
    assert last.returncode == 0, last.stdout + last.stderr


def test_a_further_plan_is_empty(killed: Any) -> None:
    stack, *_ = killed
    plan = json.loads(stack.must("plan", "--json"))
    assert [c["name"] for c in plan["components"] if c["steps"]] == []


def test_everything_is_green(killed: Any) -> None:
    stack, *_ = killed
    done = stack.disco("check", "--json")
    assert done.returncode == 0, done.stdout


def test_nothing_was_doubled_and_no_finished_work_was_redone(killed: Any) -> None:
    """An action whose outcome was written is never begun again."""
    stack, *_ = killed
    assert not redone(stack.journal())


def test_releases_have_one_revision_that_is_deployed(killed: Any) -> None:
    stack, *_ = killed
    status = json.loads(stack.must("status", "--json"))
    assert status["things"] and all(row["ok"] for row in status["things"])
    assert status["drift"] == {} and status["errors"] == []


def test_no_process_ever_showed_a_secret(killed: Any) -> None:
    stack, watch, *_ = killed
    assert isinstance(watch, Watch)
    assert len(watch.texts) > 100, "the watch saw nothing"
    assert watch.showing(secrets_of(stack)) == []


def test_no_file_of_the_stack_holds_a_secret_in_the_clear(killed: Any) -> None:
    """Journal, logs, plans and kept files; the secrets themselves are encrypted."""
    stack, *_ = killed
    texts = {str(p): p.read_bytes() for p in files_of(stack)}
    store = stack.place.root / "store.git"
    texts |= {f"object {name}": content for name, _, content in Git(store).everything()}
    assert sum(name.startswith("object") for name in texts) > 50
    texts["plan"] = stack.must("plan", "--json").encode()
    texts["commands"] = stack.must("plan", "--commands").encode()
    hits = [
        f"{name} in {where}"
        for name, value in secrets_of(stack).items()
        for where, text in texts.items()
        if value.encode() in text
    ]
    assert hits == []


def test_files_of_the_state_folder_are_for_their_owner_only(killed: Any) -> None:
    stack, *_ = killed
    assert stat.S_IMODE(stack.place.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(stack.place.identity.stat().st_mode) == 0o600


def files_of(stack: LabStack) -> list[Path]:
    """Files of the stack's folder, without the hosts' file systems."""
    top, hosts = stack.file.parent, stack.place.hosts
    files = (p for p in top.rglob("*") if hosts not in p.parents)
    return [p for p in files if p.is_file() and p != stack.place.identity]
