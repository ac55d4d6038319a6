"""Is the page really served? A check is a question, its evidence in one line, and a fix.

What is asked and how the answer is judged are two functions: the second is pure, and tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from disco.plugin import Answer, Check, Kube, World, release_check

if TYPE_CHECKING:
    from disco_hello.component import Hello


def checks(component: Hello, world: World) -> Iterator[Check]:
    from disco_hello.component import NAME, PORT

    async def ask_page() -> Answer:
        target = f"{NAME}/services/{NAME}:{PORT}"
        answer = await world[Kube].proxy(component.kubernetes.cluster, target, "/")
        return page(answer.status_code, answer.text, component.spec.greeting)

    yield Check(
        f"{NAME}/page",
        "Is the page served, with the greeting of the stack file?",
        f"kubectl -n {NAME} get pods,events; kubectl -n {NAME} logs deploy/{NAME}",
        ask_page,
    )
    yield release_check(NAME, component, world)  # is it still as declared?


def page(status: int, text: str, greeting: str) -> Answer:
    """An HTTP answer, judged."""
    if status != 200:
        return Answer(False, f"HTTP {status}: {text[:100]}")
    if text.strip() != greeting.strip():
        return Answer(False, f"another page: {text[:100]!r}")
    return Answer(True, f"{len(text.encode())} bytes with the greeting")
