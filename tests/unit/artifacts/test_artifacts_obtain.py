"""From a plan to held artifacts: real downloads, real Go builds, real images, and cleaning up."""

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from disco.artifacts.actions import Obtain
from disco.artifacts.cache import TEMPORARY, Cache
from disco.artifacts.catalogue import Catalogue
from disco.artifacts.gobuild import FIXED_ENVIRONMENT
from disco.artifacts.lock import Lock
from disco.artifacts.machine import this_arch
from disco.artifacts.obtain import Obtainer
from disco.artifacts.reader import Artifacts
from disco.artifacts.trim import clean
from disco.engine.errors import DiscoError, WrongUse

ARCH = this_arch()
GO = {"go": {"module": "m", "package": "./tool"}}


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Setting:
    """A small catalogue, a cache, a lock, and upstream's server."""

    def __init__(self, root: Path, served: Any) -> None:
        self.root = root
        self.served = served
        self.archive = archive(one=b"program one", two=b"program two")
        served.files = {
            "/1.0/pair.tar.gz": self.archive,
            "/1.0/pair.tar.gz.sha256": f"{sha256(self.archive)}  pair.tar.gz\n".encode(),
        }
        self.pins = {ARCH: sha256(self.archive)}
        self.tool_version = "1.0"

    def artifacts(self) -> Artifacts:
        known = Catalogue.model_validate(self.data())
        return Artifacts(Cache(self.root / "cache"), known, Lock.load(self.root / "disco.lock"))

    def data(self) -> object:
        pair = {
            "url": self.served.url + "/{version}/pair.tar.gz",
            "checksum_url": "{url}.sha256",
            "sha256": self.pins,
        }
        plain = {"version": "1.0", "licence": "x", "bytes": 10}
        return {
            "modules": {"m": {"dir": ".", "seconds": 100, "cache_bytes": 1000}},
            "rootfs": {
                "version": "b",
                "licence": "x",
                "suite": "b",
                "packages": ["p"],
                "seconds": 60,
                "bytes": 1000,
            },
            "programs": {
                "tool": {**plain, "version": self.tool_version, "build": GO},
                "one": {**plain, "download": {**pair, "member": "bin/one"}, "build": GO},
                "two": {**plain, "download": {**pair, "member": "bin/two"}},
            },
            "layers": {
                "pair": {"programs": {"one": "/one", "two": "/two"}},
                "base": {"base_files": ["/etc/hosts"]},
            },
            "image_sets": {
                "pair": {"images": {"pair": {"tag": "v1", "layers": ["pair"]}}},
                "all": {"images": {"all": {"tag": "v1", "layers": ["base", "pair"]}}},
            },
        }


@pytest.fixture
def setting(tmp_path: Path, served: Any, monkeypatch: pytest.MonkeyPatch) -> Setting:
    build = tmp_path / "build"
    (build / "tool").mkdir(parents=True)
    (build / "go.mod").write_text("module example.test/x\n\ngo 1.20\n")
    (build / "tool" / "main.go").write_text("package main\n\nfunc main() {}\n")
    monkeypatch.setenv("DISCO_BUILD", str(build))
    return Setting(tmp_path, served)


async def carry_out(artifacts: Artifacts, plan: list[Obtain]) -> list[str]:
    notes: list[str] = []
    for action in plan:
        await Obtainer(artifacts)(action, lambda note, share: notes.append(note))
    return notes


async def test_programs_of_one_archive_are_downloaded_once_and_then_held(setting: Setting) -> None:
    artifacts = setting.artifacts()
    plan = artifacts.plan(["two", "one"], ["download"])
    assert [a.names for a in plan] == [("one", "two")]
    await carry_out(artifacts, plan)
    held = artifacts.held("two")
    assert held is not None and held.path.read_bytes() == b"program two"
    assert held.path.stat().st_mode & 0o777 == 0o755 and held.origin == "download"
    assert setting.served.asked == ["/1.0/pair.tar.gz"]
    assert artifacts.plan(["two", "one"], ["download"]) == []


async def test_obtaining_what_is_held_asks_nobody(setting: Setting) -> None:
    artifacts = setting.artifacts()
    plan = artifacts.plan(["one"], ["download"])
    await carry_out(artifacts, plan)
    setting.served.files = {}
    await carry_out(artifacts, plan)
    assert setting.served.asked == ["/1.0/pair.tar.gz"]


async def test_a_replaced_release_is_refused_and_nothing_is_held(setting: Setting) -> None:
    artifacts = setting.artifacts()
    replaced = archive(one=b"evil", two=b"evil")
    setting.served.files["/1.0/pair.tar.gz"] = replaced
    with pytest.raises(DiscoError) as caught:
        await carry_out(artifacts, artifacts.plan(["one"], ["download"]))
    assert sha256(replaced) in caught.value.what and setting.pins[ARCH] in caught.value.what
    assert artifacts.held("one") is None


async def test_a_download_without_a_figure_waits_for_a_pin(setting: Setting) -> None:
    setting.pins = {}
    artifacts = setting.artifacts()
    with pytest.raises(WrongUse) as caught:
        artifacts.plan(["two"], ["download"])
    assert "pin" in caught.value.fix
    assert await artifacts.pin(["two"]) == ["two"]
    again = setting.artifacts()
    assert await again.pin(["two"]) == []
    plan = again.plan(["two"], ["download"])
    assert plan[0].figures == (sha256(setting.archive),)
    await carry_out(again, plan)
    assert again.held("two") is not None


async def test_the_lock_decides_when_upstream_changes_its_mind(setting: Setting) -> None:
    setting.pins = {}
    await setting.artifacts().pin(["two"])
    replaced = archive(one=b"evil", two=b"evil")
    setting.served.files["/1.0/pair.tar.gz"] = replaced
    setting.served.files["/1.0/pair.tar.gz.sha256"] = sha256(replaced).encode()
    artifacts = setting.artifacts()
    with pytest.raises(DiscoError, match="is not what was expected"):
        await carry_out(artifacts, artifacts.plan(["two"], ["download"]))


def test_the_catalogues_figure_wins_over_the_lock(setting: Setting) -> None:
    artifacts = setting.artifacts()
    assert artifacts.lock is not None
    artifacts.lock.settle(artifacts.figure("two", "download"), "0" * 64, "x")
    assert artifacts.download_figure("two") == setting.pins[ARCH]


def test_sources_are_taken_in_the_declared_order(setting: Setting) -> None:
    artifacts = setting.artifacts()
    assert artifacts.plan(["one"], ["download", "build"])[0].source == "download"
    assert artifacts.plan(["one"], ["build", "download"])[0].source == "build"
    setting.pins = {}
    assert setting.artifacts().plan(["one"], ["download", "build"])[0].source == "build"


@pytest.mark.parametrize(
    ("name", "sources", "fix"),
    [
        ("tool", ["download"], "add build"),
        ("two", ["build"], "add download"),
        ("images/all", ["download"], "add build"),
        ("tool", ["bundle"], "add build"),
        ("tool", ["internet"], "use:"),
        ("gone", ["build"], "use one of"),
    ],
)
def test_what_can_not_be_had_is_told_with_a_way_out(
    setting: Setting, name: str, sources: list[str], fix: str
) -> None:
    with pytest.raises(WrongUse) as caught:
        setting.artifacts().plan([name], sources)
    assert fix in caught.value.fix


def test_a_plan_has_everything_that_a_set_is_made_of_in_order(setting: Setting) -> None:
    plan = setting.artifacts().plan(["images/all", "tool"], ["download", "build"])
    assert [a.names for a in plan] == [("rootfs",), ("tool",), ("one", "two"), ("images/all",)]


def test_the_plain_commands_can_be_run_by_hand(setting: Setting) -> None:
    plan = setting.artifacts().plan(["images/all", "tool"], ["download", "build"])
    commands = [a.command() for a in plan]
    assert commands[0].startswith("debootstrap ")
    assert "go build -v -trimpath -buildvcs=false -mod=readonly" in commands[1]
    assert all(f"{k}=" in commands[1] for k in FIXED_ENVIRONMENT)
    assert commands[2].endswith("/1.0/pair.tar.gz && tar -xf pair.tar.gz bin/one bin/two")
    assert "one 1.0" in plan[2].describe() and setting.pins[ARCH][:12] in plan[2].describe()


def test_an_estimate_counts_a_module_once_and_nothing_that_is_held(setting: Setting) -> None:
    artifacts = setting.artifacts()
    both = artifacts.estimate(["tool", "one"], ["build"])
    assert both == (100, 1020)
    assert artifacts.estimate(["two"], ["download"]) == (0, 10)


async def test_a_module_that_was_built_before_is_expected_to_be_quick(
    setting: Setting, go_root: Path
) -> None:
    artifacts = setting.artifacts()
    await carry_out(artifacts, artifacts.plan(["tool"], ["build"]))
    (setting.root / "build" / "tool" / "main.go").write_text("package main // changed\n")
    assert artifacts.estimate(["tool"], ["build"]) == (10, 110)


async def test_an_image_set_is_written_from_its_programs_and_the_same_again(
    setting: Setting,
) -> None:
    digests = []
    for _ in range(2):
        artifacts = setting.artifacts()
        await carry_out(artifacts, artifacts.plan(["images/pair"], ["download"]))
        held = artifacts.held("images/pair")
        assert held is not None
        digests.append((held.sha256, artifacts.images("images/pair")))
        with tarfile.open(held.path) as tar:
            index = json.load(tar.extractfile("index.json") or io.BytesIO())
        assert artifacts.images("images/pair") == {
            "localhost/pair:v1": index["manifests"][0]["digest"]
        }
        shutil.rmtree(setting.root / "cache")
    assert digests[0] == digests[1]


async def test_a_set_is_written_anew_when_a_program_changes(setting: Setting) -> None:
    artifacts = setting.artifacts()
    await carry_out(artifacts, artifacts.plan(["images/pair"], ["download"]))
    setting.archive = archive(one=b"newer", two=b"program two")
    setting.served.files["/1.0/pair.tar.gz"] = setting.archive
    setting.pins = {ARCH: sha256(setting.archive)}
    assert setting.artifacts().missing(["images/pair"], ["download"]) == [
        "one",
        "two",
        "images/pair",
    ]


async def test_a_go_program_is_built_kept_and_locked(setting: Setting, go_root: Path) -> None:
    artifacts = setting.artifacts()
    await carry_out(artifacts, artifacts.plan(["tool"], ["build"]))
    held = artifacts.held("tool")
    assert held is not None and held.origin == "build"
    locked = setting.artifacts().lock
    assert locked is not None
    entry = locked.find(artifacts.figure("tool", "build", held.key))
    assert entry is not None and entry.sha256 == held.sha256
    assert not list((go_root / "go").glob(f"{TEMPORARY}*"))


async def test_a_build_that_gives_other_bytes_than_the_teams_is_refused(
    setting: Setting, go_root: Path
) -> None:
    artifacts = setting.artifacts()
    assert artifacts.lock is not None
    key = artifacts.keys("tool", "build")[0]
    artifacts.lock.settle(artifacts.figure("tool", "build", key), "0" * 64, "by a colleague")
    with pytest.raises(DiscoError, match="0000"):
        await carry_out(artifacts, artifacts.plan(["tool"], ["build"]))
    assert artifacts.held("tool") is None


async def test_a_machine_without_go_uses_what_another_go_built(
    setting: Setting, go_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = setting.artifacts()
    await carry_out(artifacts, artifacts.plan(["tool"], ["build"]))
    monkeypatch.setenv("PATH", str(setting.root / "nothing"))
    assert setting.artifacts().held("tool") is not None
    (setting.root / "build" / "tool" / "main.go").write_text("package main\n")
    assert setting.artifacts().held("tool") is None


async def test_two_runs_at_once_make_a_thing_once(setting: Setting) -> None:
    artifacts = setting.artifacts()
    plan = artifacts.plan(["one"], ["download"])
    await asyncio.gather(carry_out(artifacts, plan), carry_out(setting.artifacts(), plan))
    assert setting.served.asked == ["/1.0/pair.tar.gz"]


async def test_what_a_killed_run_left_is_removed_by_the_next(setting: Setting) -> None:
    artifacts = setting.artifacts()
    left = artifacts.cache.shelf("one") / f"{TEMPORARY}dead"
    left.mkdir(parents=True)
    await carry_out(artifacts, artifacts.plan(["one"], ["download"]))
    assert not left.exists()


async def test_clean_removes_old_versions_and_keeps_todays(setting: Setting, go_root: Path) -> None:
    (go_root / "go" / "build").unlink()  # the user's own cache is not ours to empty
    artifacts = setting.artifacts()
    await carry_out(artifacts, artifacts.plan(["images/pair"], ["download"]))
    old = artifacts.held("one")
    setting.archive = archive(one=b"newer", two=b"program two")
    setting.served.files["/1.0/pair.tar.gz"] = setting.archive
    setting.pins = {ARCH: sha256(setting.archive)}
    newer = setting.artifacts()
    await carry_out(newer, newer.plan(["images/pair"], ["download"]))
    gone = newer.cache.shelf("gone-program") / "k"
    gone.mkdir(parents=True)
    (gone / "file").write_bytes(b"x" * 100_000)
    (newer.cache.go_build / "00").mkdir(parents=True)
    (newer.cache.go_build / "00" / "compiled-a").write_bytes(b"x" * 100_000)

    freed = await clean(newer)

    assert old is not None and not old.path.exists()
    assert newer.held("one") is not None and newer.held("images/pair") is not None
    assert "gone-program/k" in freed.removed and len(freed.removed) == 4
    assert freed.size_bytes >= 200_000
    assert (await clean(newer)).removed == ()
