"""Go builds: the same bytes everywhere, and what is said when a machine can't do them."""

import asyncio
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from disco.artifacts import gocopy
from disco.artifacts.cache import Cache
from disco.artifacts.catalogue import Catalogue, Changed, GoModule, Replaced, catalogue
from disco.artifacts.gobuild import (
    GoTarget,
    build_folder,
    build_go,
    check_space,
    source_inputs,
    toolchain,
)
from disco.artifacts.process import output
from disco.artifacts.tree import file_sha256
from disco.engine.errors import DiscoError

PAUSE = build_folder() / "pause" / "main.go"
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")


def module(folder: Path, source: str, go: str = "1.26") -> GoTarget:
    (folder / "tool").mkdir(parents=True)
    (folder / "go.mod").write_text(f"module example.test/x\n\ngo {go}\n")
    (folder / "tool" / "main.go").write_text(source)
    spec = GoModule(dir=".", ldflags=("-s", "-w"), seconds=1, cache_bytes=1000)
    return GoTarget(spec, folder, {"tool": "./tool"})


@needs_go
async def test_two_folders_give_the_same_program(tmp_path: Path, go_root: Path) -> None:
    digests, notes = set(), []
    for name in ("one", "two/deeper"):
        target = module(tmp_path / name, PAUSE.read_text())
        out = tmp_path / name / "fresh"
        out.mkdir()
        used = await build_go(Cache(go_root), target, out, lambda n, s: notes.append((n, s)))
        assert used == toolchain()
        digests.add(file_sha256(out / "tool"))
    assert len(digests) == 1
    assert notes[-1][1] is not None and all(s is None or 0 <= s <= 1 for _, s in notes)


@needs_go
async def test_a_program_that_does_not_compile_is_told_with_its_line(
    tmp_path: Path, go_root: Path
) -> None:
    target = module(tmp_path / "m", "package main\nfunc main() { wrong() }\n")
    with pytest.raises(DiscoError) as caught:
        await build_go(Cache(go_root), target, tmp_path, lambda n, s: None)
    assert "build of tool failed" in caught.value.what
    assert "main.go:2:" in caught.value.why and "undefined: wrong" in caught.value.why


@needs_go
async def test_a_toolchain_that_is_too_old_is_told_with_both_versions(tmp_path: Path) -> None:
    target = module(tmp_path / "m", PAUSE.read_text(), go="1.999.1")
    with pytest.raises(DiscoError) as caught:
        await build_go(Cache(tmp_path), target, tmp_path, lambda n, s: None)
    assert toolchain() in caught.value.what and "1.999.1" in caught.value.why
    assert "1.999.1" in caught.value.fix


async def test_a_machine_without_go_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DiscoError) as caught:
        await build_go(Cache(tmp_path), module(tmp_path / "m", ""), tmp_path, lambda n, s: None)
    assert caught.value.what == "Go is not installed" and "install Go" in caught.value.fix


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `go` of the test's own, for what a real one does only on a broken machine."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    yield program


def say(program: Path, build: str) -> None:
    program.write_text(
        "#!/bin/sh\ncase $1 in env) echo go1.26.9;; list) "
        f"printf 'a\\ttrue\\tstale\\nb\\tfalse\\t\\n';; build) {build};; esac\n"
    )


async def test_a_disk_that_fills_up_during_a_build_is_told(stand_in: Path, tmp_path: Path) -> None:
    say(stand_in, "echo 'write /x/y.a: no space left on device'; exit 1")
    with pytest.raises(DiscoError) as caught:
        await build_go(Cache(tmp_path), module(tmp_path / "m", ""), tmp_path, lambda n, s: None)
    assert caught.value.what == "the disk is full" and "kept" in caught.value.fix


async def test_progress_counts_what_was_compiled_before(stand_in: Path, tmp_path: Path) -> None:
    say(stand_in, "echo 'go: downloading x'; echo a")
    notes: list[tuple[str, float | None]] = []
    target = module(tmp_path / "m", "")
    await build_go(Cache(tmp_path), target, tmp_path, lambda n, s: notes.append((n, s)))
    assert notes == [("compile (1/2)", 0.5), ("downloading x", None), ("a (2/2)", 1.0)]


async def test_a_cancelled_build_ends_its_compilers(
    stand_in: Path,
    tmp_path: Path,
    until: Callable[[Callable[[], bool]], Awaitable[None]],
    alive: Callable[[int], bool],
) -> None:
    file = tmp_path / "pid"
    say(stand_in, f"sleep 1000 & echo $! > {file}; wait")
    target = module(tmp_path / "m", "")
    task = asyncio.create_task(build_go(Cache(tmp_path), target, tmp_path, lambda n, s: None))
    await until(lambda: file.exists() and file.read_text() != "")
    assert alive(int(file.read_text()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(int(file.read_text())))


def test_too_little_space_is_told_before_the_work(tmp_path: Path) -> None:
    check_space(Cache(tmp_path), 0)
    with pytest.raises(DiscoError) as caught:
        check_space(Cache(tmp_path), 10**18)
    assert "GB" in caught.value.why and "DISCO_CACHE" in caught.value.fix


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "build"
    for name in ("go.mod", "go.sum", "kube/main.go", "pause/main.go", "containerd/go.mod"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setenv("DISCO_BUILD", str(folder))
    return folder


def inputs(known: Catalogue, name: str) -> str:
    build = known.program(name).build
    assert build is not None and build.go is not None
    return source_inputs(known, name, build.go)


def test_inputs_change_with_the_sources_of_the_program_only(sources: Path) -> None:
    known = catalogue()
    before = {name: inputs(known, name) for name in ("kube", "pause", "containerd")}
    (sources / "pause" / "main.go").write_text("changed")
    assert inputs(known, "pause") != before["pause"]
    assert inputs(known, "kube") == before["kube"]
    (sources / "go.sum").write_text("changed")
    assert inputs(known, "kube") != before["kube"]
    assert inputs(known, "containerd") == before["containerd"]


def test_inputs_change_with_the_linkers_flags(sources: Path) -> None:
    known = catalogue()
    main = known.modules["main"].model_copy(update={"ldflags": ("-s",)})
    other = known.model_copy(update={"modules": {**known.modules, "main": main}})
    assert inputs(other, "kube") != inputs(known, "kube")


def test_a_missing_build_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCO_BUILD", str(tmp_path / "gone"))
    with pytest.raises(DiscoError, match="Go modules"):
        build_folder()


def test_a_module_gets_what_it_lacks_beside_the_go_mod_that_names_it(tmp_path: Path) -> None:
    folder, module, out = (tmp_path / name for name in ("ours", "theirs", "out"))
    for path in (folder, module / "ui", out):
        path.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.test/x\n\ngo 1.26\n")
    (module / "ui" / "web.go").write_text("package ui\n")
    (module / "ui" / "web.go").chmod(0o444)
    (module / "ui").chmod(0o555)  # as Go leaves its cache
    changed = Changed(module="example.test/theirs", files={"ui/app/page.html": "<p>ours</p>"})
    main = gocopy.copied(changed, folder, module, out)
    assert (main / "source" / "ui" / "app" / "page.html").read_text() == "<p>ours</p>"
    assert (main / "source" / "ui" / "web.go").read_text() == "package ui\n"
    assert not (module / "ui" / "app").exists()
    shutil.rmtree(main)
    assert "./source" in gocopy.plain(changed, "build/x")


WORDS = Replaced(file="wait.go", old="wait(10*time.Second)", new="wait(time.Second)")


def test_words_are_replaced_as_the_plain_commands_replace_them(tmp_path: Path) -> None:
    module = tmp_path / "theirs"
    module.mkdir()
    like = "wait(time.Second) // wait(10xtime.Second)\n"
    (module / "wait.go").write_text(f"{like}wait(10*time.Second)\n")
    folder = tmp_path / "ours"
    folder.mkdir()
    changed = Changed(module="example.test/theirs", replaces=(WORDS,))
    main = gocopy.copied(changed, folder, module, tmp_path)
    found = (main / "source" / "wait.go").read_text()
    assert found == f"{like}wait(time.Second)\n"

    shutil.copytree(module, tmp_path / "source")
    (sed,) = [c for c in gocopy.plain(changed, "build/x").split(" && ") if c.startswith("sed")]
    subprocess.run(["bash", "-c", sed], cwd=tmp_path, check=True)
    assert (tmp_path / "source" / "wait.go").read_text() == found


@pytest.mark.parametrize("text", ["wait(5)\n", "wait(10*time.Second); wait(10*time.Second)\n"])
def test_words_that_upstream_changed_are_not_replaced_by_guess(tmp_path: Path, text: str) -> None:
    module = tmp_path / "theirs"
    module.mkdir()
    (module / "wait.go").write_text(text)
    (tmp_path / "ours").mkdir()
    changed = Changed(module="example.test/theirs", replaces=(WORDS,))
    with pytest.raises(DiscoError, match=r"stands there (0|2) times"):
        gocopy.copied(changed, tmp_path / "ours", module, tmp_path)


@needs_go
async def test_a_module_that_needs_files_is_built_with_them_the_same_everywhere(
    tmp_path: Path, go_root: Path
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "tool").mkdir(parents=True)
    (theirs / "go.mod").write_text("module example.test/theirs\n\ngo 1.26\n")
    source = 'package main\nimport _ "embed"\n//go:embed page.txt\nvar page string\n'
    (theirs / "tool" / "main.go").write_text(f"{source}func main() {{ print(page) }}\n")
    folder = tmp_path / "ours"
    folder.mkdir()
    needs = "require example.test/theirs v0.0.0\nreplace example.test/theirs => ../theirs\n"
    (folder / "go.mod").write_text(f"module example.test/x\n\ngo 1.26\n\n{needs}")
    changed = Changed(module="example.test/theirs", files={"tool/page.txt": "here"})
    spec = GoModule(dir=".", seconds=1, cache_bytes=1000, changes=changed)
    target = GoTarget(spec, folder, {"tool": "example.test/theirs/tool"})
    digests = set()
    for name in ("one", "two/deeper"):
        out = tmp_path / "out" / name
        out.mkdir(parents=True)
        await build_go(Cache(go_root), target, out, lambda n, s: None)
        digests.add(file_sha256(out / "tool"))
    assert len(digests) == 1
    assert await output([str(out / "tool")]) == (0, "", "here")


@needs_go
async def test_a_module_that_was_never_fetched_is_fetched_before_it_is_copied(
    tmp_path: Path, go_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a proxy that is a folder."""
    name, version = "example.test/theirs", "v1.0.0"
    served = tmp_path / "proxy" / name / "@v"
    served.mkdir(parents=True)
    (served / "list").write_text(f"{version}\n")
    (served / f"{version}.info").write_text(json.dumps({"Version": version}))
    mod = f"module {name}\n\ngo 1.26\n"
    (served / f"{version}.mod").write_text(mod)
    source = 'package main\n\nfunc main() { print("wait(10*time.Second)") }\n'
    with zipfile.ZipFile(served / f"{version}.zip", "w") as packed:
        packed.writestr(f"{name}@{version}/go.mod", mod)
        packed.writestr(f"{name}@{version}/tool/wait.go", source)
    for variable, value in {"GOPROXY": f"file://{tmp_path}/proxy", "GONOSUMDB": "*"}.items():
        monkeypatch.setenv(variable, value)
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "go.mod").write_text(
        f"module example.test/x\n\ngo 1.26\n\nrequire {name} {version}\n"
    )
    (folder / "use.go").write_text(f'//go:build use\n\npackage x\n\nimport _ "{name}/tool"\n')
    elsewhere = {**os.environ, "GOMODCACHE": str(tmp_path / "elsewhere"), "GOFLAGS": "-modcacherw"}
    code, _, err = await output(["go", "mod", "download", "all"], env=elsewhere, cwd=folder)
    assert code == 0, err
    assert (folder / "go.sum").exists()

    words = WORDS.model_copy(update={"file": "tool/wait.go"})
    spec = GoModule(
        dir=".", seconds=1, cache_bytes=1000, changes=Changed(module=name, replaces=(words,))
    )
    out = tmp_path / "out"
    out.mkdir()
    target = GoTarget(spec, folder, {"tool": f"{name}/tool"})
    await build_go(Cache(go_root), target, out, lambda n, s: None)
    assert await output([str(out / "tool")]) == (0, "", "wait(time.Second)")
