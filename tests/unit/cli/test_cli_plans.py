"""Plans in files: shown as text, Markdown and HTML, signed with SSH keys, verified before use."""

from __future__ import annotations

import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cli_said import Disco

from disco.engine import saved as saving
from disco.engine.component import Layer, Step
from disco.engine.plan import Part, Plan
from disco.engine.saved import Reviewed


def action(words: str, *lost: str, command: str = "true") -> Reviewed:
    return Reviewed("put", f"h1:/etc/{words}", words, command, lost, False)


PLAN = Plan(
    "devnet",
    (
        Part("servers", Layer.SERVERS, (Step("a", "boot <h1>", (action("boot"),)),), ()),
        Part(
            "vault",
            Layer.PLATFORM,
            (
                Step(
                    "b",
                    "write & run",
                    (action("w", command="cat <<'EOF'\n```\n<b>EOF</b>"), action("x", "the data")),
                    (),
                ),
            ),
            ("servers",),
            ("servers",),
            notes=("mind the gap",),
        ),
    ),
)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "p.json"
    path.write_text(saving.dump(PLAN))
    return path


def test_a_plan_is_shown_as_text(disco: Disco, plan: Path) -> None:
    said = disco("show", str(plan), "--commands")
    assert said.code == 0
    assert "boot <h1>" in said.out and "- write & run" in said.out
    assert "2 steps, 3 actions." in said.out
    assert "<b>EOF</b>" in said.out


def test_markdown_has_a_summary_what_is_lost_on_top_and_the_rest_folded(
    disco: Disco, plan: Path
) -> None:
    out = disco("show", str(plan), "--format", "markdown").out
    lines = out.splitlines()
    assert lines[0] == "### Plan of the stack `devnet`: 2 steps, 3 actions"
    assert lines[2:5] == ["> [!CAUTION]", "> This destroys, for good:", "> - the data"]
    assert out.count("<details>") == out.count("</details>") == 2
    assert "<summary>+ boot &lt;h1&gt;</summary>" in out
    assert "<summary>- write &amp; run</summary>" in out
    assert "- ⚠ mind the gap" in out
    assert "````sh" in lines, "a fence that the content can't end"
    assert PLAN.digest in lines[-1]


class Reader(HTMLParser):
    """Text and tags of a page; what is not closed in order is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_page_is_whole_and_shows_what_is_lost_before_all_else(disco: Disco, plan: Path) -> None:
    reader = Reader()
    reader.feed(disco("show", str(plan), "--format", "html").out)
    assert reader.open == []
    text = "".join(reader.texts)
    assert text.index("This destroys") < text.index("boot <h1>")
    assert "<b>EOF</b>" in text


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "signers"
    path.write_text(f"ann@example.org {key.with_suffix('.pub').read_text()}")
    return path


def apply(disco: Disco, stack: Path, plan: Path, signers: Path) -> str:
    """What is said when a signed plan is to be carried out; here it never comes to that."""
    said = disco("apply", str(plan), "-f", str(stack), "--signers", str(signers))
    assert said.code in (1, 2)
    return said.err


def test_a_signed_plan_tells_who_signed_it(
    disco: Disco, stack: Path, plan: Path, key: Path, signers: Path
) -> None:
    assert disco("sign", str(plan), "--key", str(key)).code == 0
    assert "signed by ann@example.org" in apply(disco, stack, plan, signers)


def test_a_plan_that_was_changed_after_it_was_signed_is_refused(
    disco: Disco, stack: Path, plan: Path, key: Path, signers: Path
) -> None:
    disco("sign", str(plan), "--key", str(key))
    plan.write_text(plan.read_text().replace("boot", "boat"))
    assert "the plan's signature does not hold" in apply(disco, stack, plan, signers)


def test_a_plan_signed_by_somebody_else_is_refused(
    disco: Disco, stack: Path, plan: Path, key: Path, signers: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    disco("sign", str(plan), "--key", str(other))
    assert "the plan's signature does not hold" in apply(disco, stack, plan, signers)


def test_a_plan_that_nobody_signed_is_refused(
    disco: Disco, stack: Path, plan: Path, signers: Path
) -> None:
    told = apply(disco, stack, plan, signers)
    assert "p.json.sig is not there" in told and "fix: disco sign" in told


def test_what_is_no_plan_is_not_signed(disco: Disco, tmp_path: Path, key: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"format": 1}))
    said = disco("sign", str(other), "--key", str(key))
    assert said.code == 2 and "that is no plan" in said.err
    assert not other.with_name("other.json.sig").exists()


def test_flags_that_a_kept_plan_has_in_itself_are_wrong_use(
    disco: Disco, stack: Path, plan: Path
) -> None:
    said = disco("apply", str(plan), "-f", str(stack), "--layer", "servers")
    assert said.code == 2 and "what it aims at is part of the plan" in said.err
    said = disco("apply", "-f", str(stack), "--signers", "x")
    assert said.code == 2 and "--signers is for a plan that was kept" in said.err
