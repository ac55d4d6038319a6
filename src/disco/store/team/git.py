"""The git program on one bare repository: objects, refs, and what is told of its failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from disco.engine.errors import DiscoError, Retry, WrongUse

BRANCH = "refs/heads/main"
REMOTE = "origin"
FETCHED = f"refs/remotes/{REMOTE}/main"
ZERO = "0" * 40
KEPT_TREES = 8
KEPT_BLOBS, KEPT_BYTES = 32, 1 << 16  # how many, and how long one may be
LOCAL_S, REMOTE_S = 60.0, 120.0
STALE_AFTER_S = 2.0
LOOSE = 4_000  # objects, about; each change makes five or so
WRITERS_WAIT_S = 60.0
# What git says of a push that came second; of hooks and quotas that take none, it says others.
SECOND = (b"fetch first", b"non-fast-forward", b"stale info", b"cannot lock ref",
          b"failed to update ref", b"incorrect old value", b"reference already exists",
          b"some refs were not updated", b"reference has changed concurrently")  # fmt: skip
OWN_SCHEMES = ("file", "git", "http", "https", "ssh")
# What a person's own settings must not change in plumbing; their credentials and agent stay.
SETTINGS = {
    "core.fsync": "all",
    "core.fsyncMethod": "batch",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "gpg.format": "ssh",
    "advice.detachedHead": "false",
    "protocol.ext.allow": "never",
    "core.quotePath": "false",
    "fetch.fsckObjects": "true",
    "receive.fsckObjects": "true",
}


def is_helped(url: str) -> bool:
    """Whether git reaches it by a program of others, `git-remote-…`, as a store at Keybase."""
    scheme, is_url, _ = url.partition("://")
    return bool(is_url) and scheme not in OWN_SCHEMES


class Rejected(Exception):
    """A push that came second: the remote's ref is not where it was expected."""


def _why(said: str) -> str:
    """The lines that name what was wrong, rather than what a person at a clone should type."""
    lines = [" ".join(line.split()) for line in said.splitlines() if "hint:" not in line]
    telling = [line for line in lines if "error:" in line or "rejected" in line]
    return "; ".join(dict.fromkeys(telling or lines))[:300]


@dataclass(frozen=True)
class Entry:
    """A path's change in a commit. Blob ids; ZERO where there is none."""

    path: str
    before: str
    after: str
    mode: str


class Git:
    """folder: of a bare repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trees: dict[str, dict[str, str]] = {}
        self._blobs: dict[str, bytes] = {}

    @property
    def is_there(self) -> bool:
        return (self.folder / "HEAD").is_file()

    def init(self) -> None:
        """An empty repository; nothing happens where there is one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.run("init", "-q", "--bare", "--initial-branch=main", ".", repository=False)

    # --- running

    def run(
        self,
        *words: str,
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
        within_s: float = LOCAL_S,
        repository: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> bytes:
        """Its output. Raises DiscoError with what git said."""
        done = self._run(words, stdin, environ or {}, within_s, repository, settings or {})
        if done.returncode != 0:
            raise self._failed(words, done)
        return done.stdout

    def text(self, *words: str, stdin: bytes = b"", within_s: float = LOCAL_S) -> str:
        return self.run(*words, stdin=stdin, within_s=within_s).decode(errors="replace").strip()

    def answers(self, *words: str) -> bool:
        """Whether a question, asked by its exit code, is answered with yes."""
        return self._run(words, b"", {}, LOCAL_S, True, {}).returncode == 0

    def _run(
        self,
        words: tuple[str, ...],
        stdin: bytes,
        environ: Mapping[str, str],
        within_s: float,
        repository: bool,
        settings: Mapping[str, str],
    ) -> subprocess.CompletedProcess[bytes]:
        options = [w for k, v in {**SETTINGS, **settings}.items() for w in ("-c", f"{k}={v}")]
        place = ["--git-dir", str(self.folder)] if repository else []
        try:
            return subprocess.run(
                [*_git(), *options, *place, *words],
                input=stdin,
                capture_output=True,
                timeout=within_s,
                cwd=self.folder,
                env={**_environment(), **environ},
            )
        except FileNotFoundError:
            raise WrongUse("there is no such store", where=str(self.folder)) from None
        except subprocess.TimeoutExpired:
            raise DiscoError(
                f"git {words[0]} did not end within {within_s:.0f} s",
                where=str(self.folder),
                retry=Retry.LIKELY,
            ) from None

    def _failed(
        self, words: tuple[str, ...], done: subprocess.CompletedProcess[bytes]
    ) -> DiscoError:
        said = done.stderr.decode(errors="replace").strip()
        return DiscoError(
            f"git {words[0]} failed", where=str(self.folder), why=said[-400:], retry=Retry.MAYBE
        )

    # --- objects

    def blob(self, content: bytes) -> str:
        return self.text("hash-object", "-w", "--stdin", stdin=content)

    def blobs(self, contents: list[bytes]) -> list[str]:
        """Ids of new blobs: written by one process, however many there are."""
        if len(contents) == 1:
            return [self.blob(contents[0])]
        if not contents:
            return []
        stream = b"".join(
            b"blob\nmark :%d\ndata %d\n%s\n" % (n, len(c), c) for n, c in enumerate(contents, 1)
        )
        asked = b"".join(b"get-mark :%d\n" % n for n in range(1, len(contents) + 1))
        said = self.run("fast-import", "--quiet", stdin=b"feature get-mark\n" + stream + asked)
        return said.decode().split()

    def read(self, blob: str) -> bytes:
        """A blob's content, which never changes: a short one is asked for once."""
        if blob in self._blobs:
            return self._blobs[blob]
        content = self.run("cat-file", "blob", blob)
        if len(content) <= KEPT_BYTES:
            self._blobs = {**dict(list(self._blobs.items())[1 - KEPT_BLOBS :]), blob: content}
        return content

    def read_all(self, ids: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        """(id, type, content) of each object, by one process. Raises DiscoError if one lacks."""
        wanted = list(ids)
        said = self.run("cat-file", "--batch", stdin="".join(f"{i}\n" for i in wanted).encode())
        at = 0
        for _ in wanted:
            end = said.index(b"\n", at)
            header = said[at:end].decode().split()
            if len(header) != 3:
                raise DiscoError(f"the store lacks the object {header[0]}", where=str(self.folder))
            size = int(header[2])
            yield header[0], header[1], said[end + 1 : end + 1 + size]
            at = end + 1 + size + 1

    def everything(self) -> Iterator[tuple[str, str, bytes]]:
        """Every object, also those that nothing leads to any more."""
        words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        yield from self.read_all(self.text(*words).split())

    def tree(self, commit: str) -> dict[str, str]:
        """Path -> blob, of everything in a commit, which never changes: asked for once."""
        if commit in self._trees:
            return dict(self._trees[commit])
        found = {}
        for line in self.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                found[path.decode(errors="replace")] = about.split()[2].decode()
        if len(commit) == len(ZERO):
            self._trees = {**dict(list(self._trees.items())[-KEPT_TREES:]), commit: dict(found)}
        return found

    def changes(self, commits: Iterable[str]) -> dict[str, list[Entry]]:
        """Commit -> what it changed against its first parent, by one process."""
        found: dict[str, list[Entry]] = {c: [] for c in commits}
        words = (
            "diff-tree",
            "--stdin",
            "-r",
            "--root",
            "--no-renames",
            "-z",
            "--raw",
            "--no-abbrev",
        )
        said = self.run(*words, stdin="".join(f"{c}\n" for c in found).encode())
        parts = iter(said.decode(errors="replace").split("\0"))
        current = ""
        for part in parts:
            if part.startswith(":"):
                _, mode, before, after, _ = part.split()
                found[current].append(Entry(next(parts), before, after, mode))
            elif part:
                current = part.strip()
        return found

    def with_changes(self, commit: str, changes: Mapping[str, str | None]) -> str:
        """The tree of a commit, or of nothing, with other blobs at some paths; None: without."""
        index = self.folder / f"index.{os.getpid()}.{time.monotonic_ns()}"
        environ = {"GIT_INDEX_FILE": str(index)}
        lines = "".join(
            f"100644 {blob}\t{path}\0" if blob else f"0 {ZERO}\t{path}\0"
            for path, blob in changes.items()
        )
        try:
            if commit != ZERO:
                self.run("read-tree", commit, environ=environ)
            update = ("update-index", "-z", "--index-info")
            self.run(*update, stdin=lines.encode(), environ=environ)
            return self.run("write-tree", environ=environ).decode().strip()
        finally:
            index.unlink(missing_ok=True)

    def commit(self, tree: str, parents: Iterable[str], message: str, who: str, key: Path) -> str:
        """A signed commit. who: the member. key: an SSH key's file, or its public half."""
        words = ["commit-tree", tree, f"-S{key}"]
        words += [w for p in parents for w in ("-p", p)]
        email = f"{who}@disco"
        environ = {f"GIT_{r}_{p}": v for r in ("AUTHOR", "COMMITTER") for p, v in
                   (("NAME", who), ("EMAIL", email))}  # fmt: skip
        return self.run(*words, stdin=message.encode(), environ=environ).decode().strip()

    # --- refs

    def ref(self, name: str) -> str:
        """The commit of a ref, or ZERO."""
        loose = self.folder / name
        try:
            found = loose.read_text().strip()
        except OSError:
            found = ""
        if len(found) == len(ZERO):
            return found
        words = ("for-each-ref", "--format=%(objectname)", name)
        return self.text(*words) or ZERO

    def move(self, name: str, to: str, was: str) -> bool:
        """Compare and swap; False when the ref was elsewhere."""
        if self.answers("update-ref", name, to, was):
            return True
        if self.ref(name) != was:
            return False
        self.run("update-ref", name, to, was)
        return True

    def is_ancestor(self, one: str, of: str) -> bool:
        """ZERO is before everything; what is not here is before nothing."""
        return one in (of, ZERO) or self.answers("merge-base", "--is-ancestor", one, of)

    def between(self, old: str, new: str) -> list[str]:
        """Commits that lead from one to the other, oldest first."""
        span = new if old == ZERO else f"{old}..{new}"
        return self.text("rev-list", "--reverse", "--topo-order", span).split()

    # --- the remote

    def fetch(self, url: str, ref: str, to: str) -> None:
        """Bring a ref here, as it is there; ZERO where the remote has none."""
        words = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", url, f"+{ref}:{to}")
        done = self._run(words, b"", {}, REMOTE_S, True, {})
        if done.returncode == 0:
            return
        if b"couldn't find remote ref" in done.stderr:
            self.run("update-ref", "-d", to)
            return
        raise unreachable(url, done.stderr)

    def push(self, url: str, commit: str, ref: str) -> None:
        """Take the remote's ref forward to a commit that stands on it: compare and swap, never a
        force. Raises Rejected when somebody else was first."""
        with self._named(commit) if is_helped(url) else nullcontext(commit) as source:
            words = ("push", "-q", "--porcelain", url, f"{source}:{ref}")
            done = self._run(words, b"", {}, REMOTE_S, True, {})
        if done.returncode == 0:
            return
        said = done.stdout + done.stderr
        if any(words in said for words in SECOND):
            raise Rejected(_why(said.decode(errors="replace")))
        raise unreachable(url, done.stderr)

    @contextmanager
    def _named(self, commit: str) -> Iterator[str]:
        """A ref for a commit while it is pushed: Keybase's helper takes nothing without a name."""
        name = f"refs/disco/push/{commit}"
        self.run("update-ref", name, commit)
        try:
            yield name
        finally:
            self.run("update-ref", "-d", name)

    def remote_ref(self, url: str, ref: str) -> str:
        """A ref's commit at the remote, or ZERO."""
        done = self._run(("ls-remote", url, ref), b"", {}, REMOTE_S, True, {})
        if done.returncode != 0:
            raise unreachable(url, done.stderr)
        words = done.stdout.decode().split()
        return words[0] if words else ZERO

    # --- writers

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One writer of this machine at a time; what a killed git left in the way is removed."""
        lock = FileLock(str(self.folder / "disco.lock"), timeout=WRITERS_WAIT_S)
        try:
            lock.acquire()
        except Timeout:
            raise DiscoError(
                "another DISCO writes to the store for a long time",
                where=str(self.folder),
                fix="see what it waits for: ps -ef | grep disco",
            ) from None
        try:
            self._remove_left()
            yield
            self._tidy()
        finally:
            lock.release()

    def _tidy(self) -> None:
        """Pack what has piled up. Objects are spread evenly over 256 folders: one stands for all.
        What fails here is tried again with the next change; nothing depends on it."""
        one = self.folder / "objects" / "17"
        if one.is_dir() and len(list(one.iterdir())) * 256 > LOOSE:
            with suppress(DiscoError):
                self.run("gc", "--quiet", within_s=REMOTE_S)

    def _remove_left(self) -> None:
        """Nobody else writes now, so what is there for a while is nobody's."""
        left = [*self.folder.glob("*.lock"), *(self.folder / "refs").rglob("*.lock")]
        left = [p for p in left if p.name != "disco.lock"]
        if left:
            time.sleep(STALE_AFTER_S)
        for path in (*left, *self.folder.glob("index.*")):
            path.unlink(missing_ok=True)


def unreachable(url: str, said: bytes) -> DiscoError:
    why = said.decode(errors="replace").strip()[-400:]
    helper = f"remote-{url.partition('://')[0]}"
    is_missing = f"'{helper}' is not a git command" in why
    mend = f"install the program git-{helper}" if is_missing else "see that git reaches it"
    return DiscoError(
        "the store's remote can't be used",
        where=url,
        why=why,
        fix=f"{mend}; what was changed here is kept: disco store sync, later",
        retry=Retry.LIKELY,
    )


def _environment() -> dict[str, str]:
    """The person's own, without what would lead git to another repository or another language."""
    kept = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_SSL_CAINFO", "GIT_PROXY_COMMAND")
    found = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in kept}
    return {**found, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}


@cache
def _git() -> tuple[str, ...]:
    """A git whose DISCO was killed must not go on beside the next one (prctl(2)). A program sees to
    that: DISCO would have to be forked for it, which takes three times as long as git itself."""
    git, setpriv = shutil.which("git"), shutil.which("setpriv")
    if git is None:
        raise DiscoError("git is not installed", fix="apt install git")
    return (setpriv, "--pdeathsig", "KILL", git) if setpriv else (git,)
