"""What a person does with `disco console`, in a real browser. `make test` installs it.

PICTURES=folder keeps what was seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from browser.chromium import Tab, chromium
from console_process import Console, console
from disco.engine.journal import Journal
from disco.engine.place import Place

STACK = """\
name: lab
servers: {provider: local, count: 3, network: 10.88.217.0/24}
kubernetes: {metrics_server: false}
prometheus: {}
vault: {}
chains:
  akash: {validators: 3}
"""
APPEND = """
import sys
from pathlib import Path
from disco.engine.journal import Journal
journal = Journal(Path(sys.argv[1]))
for i in range(int(sys.argv[2])):
    journal.write("intent", run="live", step=f"servers/h{i}", action=f"boot h{i}")
"""
BACK = "getComputedStyle(document.body).backgroundColor"
SEEN = "(s => { const e = document.querySelector(s); return !!e && e.checkVisibility() })"
WIDE = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def shown() -> Iterator[tuple[Console, Path]]:
    with TemporaryDirectory(prefix="disco-") as folder:
        file = Path(folder) / "stack.yaml"
        file.write_text(STACK)
        journal = Journal(Place.of(file, "lab").journal)
        journal.write("run", run="aa11", who="me@here", what="up", steps=2)
        journal.write("intent", run="aa11", step="servers/h1", action="boot h1")
        journal.write("done", run="aa11", step="servers/h1", action="boot h1")
        journal.write("intent", run="aa11", step="vault/open", action="init vault")
        journal.write(
            "failed", run="aa11", step="vault/open", action="init vault", error="<b>no</b>"
        )
        counts = {"done": 1, "failed": 1, "skipped": 0, "seconds": 12.0}
        journal.write("end", run="aa11", outcome="failed", **counts)
        with console(file) as found:
            yield found, file


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with chromium() as found:
        yield found


@pytest.fixture
def tab(browser: Tab, shown: tuple[Console, Path]) -> Iterator[Tab]:
    """The page, opened anew by its address with the token."""
    browser.size(1100, 800)
    browser.prefers("light")
    browser.open("about:blank")
    browser.errors.clear()
    browser.open(shown[0].address)
    browser.wait(f"{SEEN}('#status ul')")
    yield browser
    assert browser.errors == []
    browser.ask("localStorage.clear()")


def picture(tab: Tab, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        tab.picture(Path(folder) / f"{name}.png")


def appended(file: Path, count: int) -> None:
    argv = [sys.executable, "-c", APPEND, str(Place.of(file, "lab").journal), str(count)]
    subprocess.run(argv, check=True)


def test_it_opens_within_a_second_with_the_components_and_without_the_token(
    tab: Tab, shown: tuple[Console, Path]
) -> None:
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    milliseconds = tab.ask(paint)
    print(f"first paint after {milliseconds:.0f} ms")
    assert milliseconds <= 1000
    text = tab.text()
    assert "kubernetes" in text and "waits for servers" in text and "disco shell" in text
    assert tab.ask("location.hash") == "#components" and tab.ask("document.cookie") == ""
    assert shown[0].token not in tab.ask("document.documentElement.outerHTML")
    picture(tab, "components")
    tab.open(f"{shown[0].origin}/")  # the cookie opens it from now on
    tab.wait(f"{SEEN}('#status ul')")


def test_without_the_token_it_says_what_to_do(shown: tuple[Console, Path]) -> None:
    with chromium() as tab:
        tab.open(f"{shown[0].origin}/")
        tab.wait("document.querySelector('#errors').innerText.includes('the token is missing')")
        assert "fix: open the address" in tab.text() and "kubernetes" not in tab.text()


def test_a_red_check_shows_its_fix(tab: Tab) -> None:
    tab.press("2")
    tab.click("details[data-check='servers/ssh'] summary")
    tab.wait(f"{SEEN}('details[data-check=\"servers/ssh\"] .fix')")
    assert "fix: see that the machine is up" in tab.text()
    picture(tab, "checks")


def test_alerts_and_logs_say_what_is_missing(tab: Tab) -> None:
    tab.press("3")
    tab.wait("document.querySelector('#alerts-at').innerText === 'no answer'")
    assert "fix:" in tab.text()
    tab.press("5")
    names = "[...document.querySelector('#logs-name').options].map(o => o.value).join()"
    assert tab.ask(names) == "kubernetes,prometheus,vault,akash,servers"
    tab.click("#logs-query")
    for key in ("e", "r", "r", "Enter"):
        tab.press(key)
    tab.wait("document.querySelector('#errors').innerText.includes('this stack keeps no logs')")
    assert "fix: add `logs: {}`" in tab.text()
    assert len(tab.errors) == 2 and all("503" in error for error in tab.errors)  # as it was told
    tab.errors.clear()


def test_events_of_another_process_appear_and_open(tab: Tab, shown: tuple[Console, Path]) -> None:
    tab.press("6")
    tab.wait("document.querySelector('#list').innerText.includes('<b>no</b>')")  # text, not markup
    appended(shown[1], 5)
    tab.wait("document.querySelector('#list li').innerText.includes('boot h4')")
    tab.click("#list li button")
    tab.wait("document.querySelector('#list li pre').innerText.includes('\"run\": \"live\"')")
    picture(tab, "events")
    tab.press("/")
    for letter in "vault":
        tab.press(letter)
    tab.wait("document.querySelectorAll('#list li').length === 2")
    tab.click("#pause")
    appended(shown[1], 1)
    tab.wait("document.querySelector('#live').innerText.startsWith('paused')")


def test_a_thousand_events_at_once_leave_the_page_awake(
    tab: Tab, shown: tuple[Console, Path]
) -> None:
    tab.press("6")
    tab.ask(
        "window.late = 0, window.before = performance.now(), (function beat() {"
        " const now = performance.now(); late = Math.max(late, now - before); before = now;"
        " requestAnimationFrame(beat) })(), 0"
    )
    before = int(tab.ask("parseInt(document.querySelector('#live').innerText.split(' ')[1])"))
    appended(shown[1], 1000)
    count = "parseInt(document.querySelector('#live').innerText.split(' ')[1])"
    tab.wait(f"{count} === {before + 1000}")
    tab.wait("document.querySelector('#list li').innerText.includes('boot h999')")
    late = tab.ask("late")
    print(f"at most {late:.0f} ms between two frames")
    assert tab.ask("document.querySelectorAll('#list li').length") <= 500
    assert late < 3000  # other tests run beside it


def test_history_graph_and_plan_are_a_key_away(tab: Tab) -> None:
    tab.press("7")
    tab.wait("document.querySelector('#runs').innerText.includes('1 done, 1 failed, 0 skipped')")
    tab.press("8")
    tab.wait("document.querySelectorAll('#drawing .node').length === 6")
    assert tab.ask("getComputedStyle(document.querySelector('.edge')).fill") == "none"
    assert "chains.akash (akash) on" in tab.text()
    picture(tab, "graph")
    tab.press("9")
    assert "not planned yet" in tab.text()
    tab.press("r")
    tab.wait("document.querySelectorAll('#parts details').length > 10")
    tab.click("#parts details summary")
    tab.wait(f"{SEEN}('#parts details pre')")
    picture(tab, "plan")


def test_light_and_dark_follow_the_system_until_one_is_chosen(tab: Tab) -> None:
    tab.prefers("light")
    assert tab.ask(BACK) == "rgb(255, 255, 255)"
    tab.prefers("dark")
    assert tab.ask(BACK) == "rgb(20, 23, 28)"
    picture(tab, "dark")
    tab.click("#theme")
    assert tab.ask(BACK) == "rgb(255, 255, 255)"
    tab.press("t")
    tab.prefers("light")
    assert tab.ask(BACK) == "rgb(20, 23, 28)"


def test_the_keyboard_is_enough(tab: Tab) -> None:
    tab.press("?")
    tab.wait(f"{SEEN}('#keys')")
    tab.press("Escape")
    tab.wait(f"!{SEEN}('#keys')")
    found = []
    for _ in range(13):
        tab.press("Tab")
        found.append(tab.ask("document.activeElement.innerText"))
    assert found[found.index("Components") :][:12] == [
        *(
            "Components",
            "Checks",
            "Alerts",
            "Dashboards",
            "Logs",
            "Events",
            "History",
            "Graph",
            "Plan",
        ),
        *("Theme: system", "Keys", "Look again"),
    ]
    assert tab.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_narrow_screen_never_scrolls_sideways(tab: Tab) -> None:
    tab.size(360, 740, mobile=True)
    ready = [
        "#status li",
        "#check details",
        "#alerts h2",
        "#board-name option",
        "#logs-name option",
        "#list li",
    ]
    ready += ["#runs td", "#drawing svg", "#parts pre"]
    for view, selector in enumerate(ready, 1):
        tab.press(str(view))
        if selector == "#parts pre":
            tab.press("r")
        tab.wait(f"!!document.querySelector('{selector}')")
        assert tab.ask(WIDE) <= 360, selector
        picture(tab, f"narrow-{view}")
    assert len(tab.errors) == 2 and all("503" in error for error in tab.errors)  # no Prometheus
    tab.errors.clear()
